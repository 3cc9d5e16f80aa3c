/**
 * The deep sweep: lists everything under the prefix and finds what the catalog does not know. In the normal course of
 * things there is nothing: whatever the relay stores is named by a row before or after, and the sweeper follows those.
 *
 * What is unknown is one of two things. A finished object with our stamp is a file whose record is missing, since the
 * database was restored from an older backup: it is never removed; with `adopt` it gets its record back
 * (adopt-objects.ts). All else is a leftover: it becomes a committed discard (V5), which the discard worker removes, when
 * it is older than a day, of exactly our own form, and the marker says that this catalog's word counts (bucket-marker.ts).
 */
import type { ListedMultipart, ListedObject, SweepCatalog } from '../catalog/sweep-catalog.ts';
import type { CallOptions, MultipartPosition, MultipartPrefixLister, ObjectStorage } from '../s3/object-storage.ts';
import { S3Error } from '../s3/s3-errors.ts';
import type { ObjectAdopter } from './adopt-objects.ts';
import { type BucketMarker, ForeignBucketError } from './bucket-marker.ts';
import { type DeepSweepReport, DeepSweepTally, type FoundAs, type OnFound } from './deep-sweep-report.ts';
import type { DiscardWorker } from './discard-worker.ts';
import { readObjectKey, uploadsPrefix } from './listed-key.ts';
import type { StorageCanary } from './storage-canary.ts';
import { verifyFiles } from './verify-files.ts';

const MIN_AGE_MS = 24 * 3_600_000;
const REMOVE_BATCHES = 20;

export interface DeepSweepWish {
  /** Changes nothing in the bucket or the catalog. */
  dryRun: boolean;
  /** The operator's word that this catalog is the one that all objects under the prefix belong to. */
  adopt: boolean;
  /** Also asks S3 for the object of every file. */
  verify: boolean;
}

export interface DeepSweeperDependencies {
  sweeps: Pick<
    SweepCatalog,
    | 'findUnknownObjects'
    | 'discardUnknownObjects'
    | 'findUnknownMultiparts'
    | 'discardUnknownMultiparts'
    | 'findFiles'
    | 'findFilesOf'
  >;
  adopter: Pick<ObjectAdopter, 'findUnfinished' | 'findFinished' | 'adopt'>;
  marker: Pick<BucketMarker, 'keep' | 'demandOurs' | 'adopt'>;
  canary: Pick<StorageCanary, 'adopt'>;
  storage: Pick<ObjectStorage, 'listObjects' | 'headObject'> & MultipartPrefixLister;
  discards: Pick<DiscardWorker, 'removeUndone'>;
  keyPrefix: string;
  /** Wall clock, in ms: compared with S3's own dates. */
  now: () => number;
}

/** What goes along with one sweep. */
interface Run extends DeepSweepWish {
  tally: DeepSweepTally;
  options: CallOptions;
  /**
   * Key of the last unknown finished object. Its thumbnails, and what else hangs on it, follow it in the listing and go
   * with it.
   */
  lastFileKey: string | null;
}

interface FoundObject extends ListedObject {
  bytes: number;
  lastModified: Date | null;
}

export class DeepSweeper {
  readonly #dependencies: DeepSweeperDependencies;

  constructor(dependencies: DeepSweeperDependencies) {
    this.#dependencies = dependencies;
  }

  /** @throws S3Error, DatabaseUnavailableError: what was discarded or adopted until then stays so */
  async sweep(wish: DeepSweepWish, onFound?: OnFound, signal?: AbortSignal): Promise<DeepSweepReport> {
    const options = signal === undefined ? {} : { signal };
    const run: Run = { ...wish, tally: new DeepSweepTally(onFound), options, lastFileKey: null };
    const { report } = run.tally;
    report.refusal = await this.#refusal(wish, options);
    if (report.refusal !== null && !wish.dryRun) return report;
    try {
      await this.#sweepObjects(run);
      await this.#sweepMultiparts(run);
      if (wish.verify) await verifyFiles(this.#dependencies, run.tally, options);
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

  async #sweepObjects(run: Run): Promise<void> {
    const { storage, keyPrefix } = this.#dependencies;
    const prefix = uploadsPrefix(keyPrefix);
    for (let after: string | undefined, more = true; more; ) {
      run.options.signal?.throwIfAborted();
      const page = await storage.listObjects(prefix, after, run.options);
      const ours: FoundObject[] = [];
      for (const { key, bytes, lastModified } of page.objects) {
        const read = readObjectKey(keyPrefix, key);
        if (read !== null) ours.push({ ...read, bytes, lastModified });
      }
      run.tally.report.objectsListed += ours.length;
      await this.#sweepPage(ours, run);
      after = page.objects.at(-1)?.key;
      more = page.more && after !== undefined;
    }
  }

  async #sweepPage(ours: readonly FoundObject[], run: Run): Promise<void> {
    const { sweeps, adopter, marker } = this.#dependencies;
    const { tally, options, dryRun, adopt } = run;
    const unknown = new Set(await sweeps.findUnknownObjects(ours));
    const unfinished = new Set(adopt || dryRun ? await adopter.findUnfinished(ours.filter(isUploadsOwn)) : []);
    const candidates = ours.filter(
      (it) => isUploadsOwn(it) && (unknown.has(it.objectKey) || unfinished.has(it.objectKey)),
    );
    const files = await adopter.findFinished(candidates, options);
    const leftovers: FoundObject[] = [];
    for (const object of ours) {
      if (isUploadsOwn(object)) run.lastFileKey = files.has(object.objectKey) ? object.objectKey : null;
      if (object.baseKey === run.lastFileKey && !isUploadsOwn(object)) continue;
      if (unknown.has(object.objectKey)) tally.report.objectsUnknown += 1;
      else if (!files.has(object.objectKey)) continue;
      if (!files.has(object.objectKey) && this.#isOld(object.lastModified)) leftovers.push(object);
      else await tally.found(toItem(object, files.has(object.objectKey) ? 'file' : 'young'));
    }
    const discarded = new Set(leftovers.map((it) => it.objectKey));
    if (!dryRun && (leftovers.length > 0 || (adopt && files.size > 0))) {
      await marker.demandOurs(options);
      if (adopt) tally.report.adopted += await adopter.adopt([...files.values()], options);
      const now = await sweeps.discardUnknownObjects(leftovers);
      discarded.clear();
      for (const key of now) discarded.add(key);
    }
    for (const object of leftovers) {
      if (discarded.has(object.objectKey)) await tally.found(toItem(object, 'removed'));
    }
  }

  async #sweepMultiparts(run: Run): Promise<void> {
    const { sweeps, keyPrefix, marker } = this.#dependencies;
    const { tally, options, dryRun } = run;
    for (let after: MultipartPosition | undefined, more = true; more; ) {
      options.signal?.throwIfAborted();
      const page = await this.#listMultiparts(after, options);
      if (page === null) {
        tally.report.multipartsListed = null;
        return;
      }
      const listed: (ListedMultipart & { initiated: Date | null })[] = [];
      for (const { key, s3UploadId, initiated } of page.uploads) {
        const ours = readObjectKey(keyPrefix, key);
        if (ours?.kind === 'object') listed.push({ objectKey: key, s3UploadId, keyId: ours.keyId, initiated });
      }
      tally.report.multipartsListed = (tally.report.multipartsListed ?? 0) + listed.length;
      let unknown = await sweeps.findUnknownMultiparts(listed);
      tally.report.multipartsUnknown += unknown.length;
      const isUnknown = (it: ListedMultipart) => unknown.includes(it.s3UploadId);
      for (const it of listed) {
        if (isUnknown(it) && !this.#isOld(it.initiated)) await tally.found(multipartItem(it, 'young'));
      }
      const old = listed.filter((it) => isUnknown(it) && this.#isOld(it.initiated));
      if (old.length > 0 && !dryRun) {
        await marker.demandOurs(options);
        unknown = await sweeps.discardUnknownMultiparts(old);
      }
      for (const it of old) if (isUnknown(it)) await tally.found(multipartItem(it, 'removed'));
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
    const found = report.leftovers;
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

/** Not what is hung on it. */
function isUploadsOwn(object: ListedObject): boolean {
  return object.kind === 'object';
}

function toItem({ objectKey, bytes, lastModified }: FoundObject, foundAs: FoundAs) {
  const storedAt = lastModified?.toISOString() ?? null;
  return { foundAs, key: objectKey, kind: 'object' as const, bytes, storedAt };
}

function multipartItem(listed: { objectKey: string; initiated: Date | null }, foundAs: FoundAs) {
  const storedAt = listed.initiated?.toISOString() ?? null;
  return { foundAs, key: listed.objectKey, kind: 'multipart' as const, bytes: null, storedAt };
}
