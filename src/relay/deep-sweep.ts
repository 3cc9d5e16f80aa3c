/**
 * The deep sweep: lists everything under the prefix and finds what the catalog does not know. In the normal course of
 * things there is nothing: whatever the relay stores is named by a row before or after, and the sweeper follows those.
 *
 * It deletes nothing itself. What is unknown becomes committed discards (V5), which the discard worker removes; and it
 * does so only while the marker says that this catalog's word counts (bucket-marker.ts), only with keys of exactly our
 * own form, and never with what is younger than a day.
 */
import type { ListedMultipart, ListedObject, SweepCatalog } from '../catalog/sweep-catalog.ts';
import type { CallOptions, MultipartPosition, MultipartPrefixLister, ObjectStorage } from '../s3/object-storage.ts';
import { S3Error } from '../s3/s3-errors.ts';
import { type BucketMarker, ForeignBucketError } from './bucket-marker.ts';
import type { DiscardWorker } from './discard-worker.ts';
import { readObjectKey, uploadsPrefix } from './listed-key.ts';
import type { StorageCanary } from './storage-canary.ts';

const MIN_AGE_MS = 24 * 3_600_000;
/** Keys that a report names; it counts the others. */
const MAX_NAMED = 100;
const REMOVE_BATCHES = 20;

export interface DeepSweepWish {
  /** Changes nothing in the bucket or the catalog. */
  dryRun: boolean;
  /** The operator's word that this catalog is the one that all objects under the prefix belong to. */
  adopt: boolean;
}

export interface DeepSweepReport {
  objectsListed: number;
  objectsUnknown: number;
  /** null: the service cannot list them. */
  multipartsListed: number | null;
  multipartsUnknown: number;
  /** How many of the unknown ones are gone from the bucket; more may be under way. */
  removed: number;
  /** Keys of the first of them. */
  named: string[];
  /** Why nothing was discarded; null when that was allowed. */
  refusal: string | null;
}

export interface DeepSweeperDependencies {
  sweeps: Pick<
    SweepCatalog,
    'findUnknownObjects' | 'discardUnknownObjects' | 'findUnknownMultiparts' | 'discardUnknownMultiparts'
  >;
  marker: Pick<BucketMarker, 'keep' | 'demandOurs' | 'adopt'>;
  canary: Pick<StorageCanary, 'adopt'>;
  storage: Pick<ObjectStorage, 'listObjects'> & MultipartPrefixLister;
  discards: Pick<DiscardWorker, 'removeUndone'>;
  keyPrefix: string;
  /** Wall clock, in ms: compared with S3's own dates. */
  now: () => number;
}

export class DeepSweeper {
  readonly #dependencies: DeepSweeperDependencies;

  constructor(dependencies: DeepSweeperDependencies) {
    this.#dependencies = dependencies;
  }

  /** @throws S3Error, DatabaseUnavailableError: what was discarded until then stays discarded */
  async sweep(wish: DeepSweepWish, signal?: AbortSignal): Promise<DeepSweepReport> {
    const options = signal === undefined ? {} : { signal };
    const report: DeepSweepReport = {
      objectsListed: 0,
      objectsUnknown: 0,
      multipartsListed: 0,
      multipartsUnknown: 0,
      removed: 0,
      named: [],
      refusal: await this.#refusal(wish, options),
    };
    if (report.refusal !== null && !wish.dryRun) return report;
    try {
      await this.#sweepObjects(wish, report, options);
      await this.#sweepMultiparts(wish, report, options);
    } catch (error) {
      // The marker has changed hands while we were listing.
      if (!(error instanceof ForeignBucketError)) throw error;
      report.refusal = error.message;
    }
    if (!wish.dryRun) await this.#removeDiscarded(report, signal);
    return report;
  }

  async #refusal({ dryRun, adopt }: DeepSweepWish, options: CallOptions): Promise<string | null> {
    const { marker, canary } = this.#dependencies;
    try {
      if (adopt) {
        if (dryRun) return null;
        await marker.adopt(options);
        // This is the storage from now on: what it lacks is gone.
        await canary.adopt(options);
        return null;
      }
      if (!dryRun) await marker.keep(options);
      await marker.demandOurs(options);
      return null;
    } catch (error) {
      if (error instanceof ForeignBucketError) return error.message;
      throw error;
    }
  }

  async #sweepObjects({ dryRun }: DeepSweepWish, report: DeepSweepReport, options: CallOptions): Promise<void> {
    const { storage, sweeps, keyPrefix, marker } = this.#dependencies;
    const prefix = uploadsPrefix(keyPrefix);
    for (let after: string | undefined, more = true; more; ) {
      options.signal?.throwIfAborted();
      const page = await storage.listObjects(prefix, after, options);
      const old: ListedObject[] = [];
      for (const { key, lastModified } of page.objects) {
        const ours = readObjectKey(keyPrefix, key);
        if (ours === null) continue;
        report.objectsListed += 1;
        if (this.#isOld(lastModified)) old.push(ours);
      }
      let unknown = await sweeps.findUnknownObjects(old);
      if (unknown.length > 0 && !dryRun) {
        await marker.demandOurs(options);
        unknown = await sweeps.discardUnknownObjects(old);
      }
      report.objectsUnknown += unknown.length;
      nameSome(report, unknown);
      after = page.objects.at(-1)?.key;
      more = page.more && after !== undefined;
    }
  }

  async #sweepMultiparts({ dryRun }: DeepSweepWish, report: DeepSweepReport, options: CallOptions): Promise<void> {
    const { sweeps, keyPrefix, marker } = this.#dependencies;
    for (let after: MultipartPosition | undefined, more = true; more; ) {
      options.signal?.throwIfAborted();
      const page = await this.#listMultiparts(after, options);
      if (page === null) {
        report.multipartsListed = null;
        return;
      }
      const old: ListedMultipart[] = [];
      for (const { key, s3UploadId, initiated } of page.uploads) {
        const ours = readObjectKey(keyPrefix, key);
        if (ours?.kind !== 'object') continue;
        report.multipartsListed = (report.multipartsListed ?? 0) + 1;
        if (this.#isOld(initiated)) old.push({ objectKey: key, s3UploadId, keyId: ours.keyId });
      }
      let unknown = await sweeps.findUnknownMultiparts(old);
      if (unknown.length > 0 && !dryRun) {
        await marker.demandOurs(options);
        unknown = await sweeps.discardUnknownMultiparts(old);
      }
      report.multipartsUnknown += unknown.length;
      nameSome(
        report,
        unknown.map((key) => `${key} (multipart upload)`),
      );
      more = page.next !== null;
      after = page.next ?? undefined;
    }
  }

  /** @returns null where the service has no such call */
  async #listMultiparts(after: MultipartPosition | undefined, options: CallOptions) {
    const { storage, keyPrefix } = this.#dependencies;
    try {
      return await storage.listMultipartUploadsUnder(uploadsPrefix(keyPrefix), after, options);
    } catch (error) {
      if (error instanceof S3Error && LACKING.has(error.s3Code)) return null;
      throw error;
    }
  }

  /** Counts only what this sweep has found: other discards wait for the sweeper, but may well go with them. */
  async #removeDiscarded(report: DeepSweepReport, signal: AbortSignal | undefined): Promise<void> {
    const found = report.objectsUnknown + report.multipartsUnknown;
    for (let removed = 0; removed < found && !signal?.aborted; ) {
      const turn = await this.#dependencies.discards.removeUndone(REMOVE_BATCHES, signal);
      removed += turn.removed;
      report.removed = Math.min(found, removed);
      if (!turn.more || turn.removed === 0) return;
    }
  }

  /** What is being stored right now, by whichever catalog, is younger. */
  #isOld(date: Date | null): boolean {
    return date !== null && date.getTime() < this.#dependencies.now() - MIN_AGE_MS;
  }
}

const LACKING = new Set(['NotImplemented', 'MethodNotAllowed']);

function nameSome(report: DeepSweepReport, keys: readonly string[]): void {
  report.named.push(...keys.slice(0, Math.max(0, MAX_NAMED - report.named.length)));
}
