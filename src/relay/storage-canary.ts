/**
 * Is this the storage that we wrote to? Before anything is believed to be gone for good, there has to be evidence: an
 * endpoint that has failed over to a replica, another tenant, or a wrong `S3_ENDPOINT` answers "no such upload" to
 * everything, and whoever believes it destroys uploads that are safe where they are.
 *
 * The evidence is a multipart upload of our own in which nothing is ever stored, the canary; its id is in the catalog.
 * Multipart uploads are neither replicated nor copied, so that only the storage which made it knows it. It is renewed
 * twice a day: a rule of the provider's that removes unfinished multipart uploads finds it younger than it allows.
 *
 * - The canary is there, has been there at each look of the last minutes, and the bucket's marker names this catalog:
 *   what is missing is missing.
 * - The canary is gone: this is another storage. Nothing is deleted or given up, requests are answered with 503 (a HEAD
 *   with 423), the node is not ready, and all goes on as soon as the canary is seen again.
 * - The canary was made more than a day ago, since no node was running, and none has missed it before: that it is gone
 *   says nothing. Where the marker is ours a new one is made; where it is not, this is another storage.
 *
 * An operator who has moved to another storage for good, or whose canary somebody has removed, says so with `npm run
 * sweep -- --deep --adopt`.
 */
import type { Canary, CanaryCatalogPort } from '../catalog/canary-catalog.ts';
import type { CatalogIdentityStore } from '../catalog/catalog-identity.ts';
import { UnavailableError } from '../errors.ts';
import type { CallOptions, ObjectStorage } from '../s3/object-storage.ts';
import { S3Error } from '../s3/s3-errors.ts';
import { type BucketMarker, ForeignBucketError } from './bucket-marker.ts';
import type { Clock } from './clock.ts';
import { uploadsPrefix } from './listed-key.ts';

const RENEW_AFTER_SECS = 12 * 3_600;
/** The shortest time after which services remove unfinished multipart uploads by themselves. */
const TRUSTED_FOR_SECS = 24 * 3_600;
/** What has taken the canary's place is removed when it is so old, and can be nobody's canary any more. */
const REMOVED_AFTER_MS = 24 * 3_600_000;
/** For so long after the canary was not found, even once, nothing is believed to be gone: not every answer is ours. */
const UNSETTLED_MS = 10 * 60_000;
/** While the storage is another one, requests have it looked at again, but not more often than this. */
const LOOK_AGAIN_MS = 2_000;

/** What the bucket lacks says nothing, for it is not known to be the one that we wrote to. */
export class StorageElsewhereError extends UnavailableError {
  override readonly name = 'StorageElsewhereError';

  constructor(message: string, options?: ErrorOptions) {
    super('storage', message, options);
  }
}

/** What the relay asks before it believes that something is gone. */
export interface StorageEvidence {
  /** At once, as long as nothing speaks against this storage. @throws StorageElsewhereError */
  assertHere(): Promise<void>;
  /**
   * Asks the storage itself.
   *
   * @param maxAgeMs an answer that is not older will do
   * @throws StorageElsewhereError; S3Error when it does not answer
   */
  demand(maxAgeMs?: number, options?: CallOptions): Promise<void>;
  /**
   * The same before anything is deleted: nor may another copy of this catalog have gone on from where this one is. What a
   * clone or a restored backup takes for unneeded the original may need.
   */
  demandOurs(maxAgeMs?: number, options?: CallOptions): Promise<void>;
}

export interface CanaryDependencies {
  catalog: CanaryCatalogPort;
  identity: Pick<CatalogIdentityStore, 'read'>;
  storage: Pick<ObjectStorage, 'createMultipartUpload' | 'listParts' | 'abortMultipartUpload' | 'listMultipartUploads'>;
  marker: Pick<BucketMarker, 'demandNamed' | 'demandCurrent' | 'demandOurs'>;
  clock: Pick<Clock, 'now'>;
  keyPrefix: string;
  /** Called when the storage turns out to be another one, and with null when it is ours again. */
  onChange: (problem: StorageElsewhereError | null) => void;
}

/** untold: there is no canary whose absence would say anything. */
type Sighting = 'here' | 'gone' | 'untold';

export class StorageCanary implements StorageEvidence {
  readonly #dependencies: CanaryDependencies;
  #elsewhere: StorageElsewhereError | null = null;
  /** As the catalog had it at the last look. */
  #known: Canary | null = null;
  /** When the storage was last asked, and when it last had the canary. */
  #lookedMs = Number.NEGATIVE_INFINITY;
  #seenMs = Number.NEGATIVE_INFINITY;
  /** When the storage was asked whose it is, and it was ours alone. */
  #oursMs = Number.NEGATIVE_INFINITY;
  /** When it was last not found. */
  #missedMs = Number.NEGATIVE_INFINITY;

  constructor(dependencies: CanaryDependencies) {
    this.#dependencies = dependencies;
  }

  async assertHere(): Promise<void> {
    if (this.#elsewhere === null) return;
    if (this.#dependencies.clock.now() - this.#lookedMs >= LOOK_AGAIN_MS) {
      await this.#look().catch((error) => {
        // The other storage may not even answer.
        if (!(error instanceof S3Error)) throw error;
      });
    }
    if (this.#elsewhere !== null) throw this.#elsewhere;
  }

  async demand(maxAgeMs = 0, options: CallOptions = {}): Promise<void> {
    const { clock, marker } = this.#dependencies;
    if (this.#elsewhere === null && clock.now() - this.#seenMs < maxAgeMs) return;
    const sighting = await this.#look(options);
    if (this.#elsewhere !== null) throw this.#elsewhere;
    if (sighting === 'untold') {
      throw new StorageElsewhereError('it is not known yet whether this is the storage that uploads were written to');
    }
    if (clock.now() - this.#missedMs < UNSETTLED_MS) {
      throw new StorageElsewhereError('a moment ago this was not the storage that uploads were written to');
    }
    await ofOurBucket(marker.demandNamed(options));
  }

  async demandOurs(maxAgeMs = 0, options: CallOptions = {}): Promise<void> {
    const { clock, marker } = this.#dependencies;
    const askedMs = clock.now();
    if (this.#elsewhere === null && askedMs - this.#oursMs < maxAgeMs) return;
    await this.demand(0, options);
    await ofOurBucket(marker.demandCurrent(options));
    this.#oursMs = askedMs;
  }

  /**
   * For readiness: does not ask the catalog as long as all is well, whose outages are told apart. Where our credentials
   * may not ask for the canary, uploads go on all the same: only nothing is believed to be gone.
   *
   * @throws StorageElsewhereError; S3Error when the storage does not answer
   */
  async check(options: CallOptions = {}): Promise<void> {
    if (this.#known === null) return;
    try {
      if (this.#elsewhere === null && (await this.#isThere(this.#known, options))) return;
      await this.#look(options);
    } catch (error) {
      if (!isDenied(error)) throw error;
    }
    if (this.#elsewhere !== null) throw this.#elsewhere;
  }

  /**
   * The turn of every few minutes: looks, makes the first canary, and renews one that has grown old.
   *
   * @throws StorageElsewhereError where it is gone, ForeignBucketError where the marker is not ours (a clone must not
   *   take the canary away from the catalog that it is a copy of): nothing is renewed then
   */
  async keep(options: CallOptions = {}): Promise<void> {
    const { catalog, identity, marker } = this.#dependencies;
    const canary = await catalog.find();
    const sighting = await this.#look(options);
    if (this.#elsewhere !== null) throw this.#elsewhere;
    if (sighting === 'here' && canary !== null && canary.ageSecs < RENEW_AFTER_SECS) return;
    // The first one, too, where the catalog has had a bucket before: it may be another one that we are led to now.
    if (canary !== null || (await identity.read()).generation !== null) await marker.demandOurs(options);
    await this.#replace(canary?.s3UploadId ?? null, options);
  }

  /** The operator's word that this is the storage from now on. */
  async adopt(options: CallOptions = {}): Promise<void> {
    const canary = await this.#dependencies.catalog.find();
    await this.#replace(canary?.s3UploadId ?? null, options);
  }

  async #look(options: CallOptions = {}): Promise<Sighting> {
    const { catalog, clock } = this.#dependencies;
    const askedMs = clock.now();
    // At once: of many requests that wait until this is our storage again, one looks.
    this.#lookedMs = askedMs;
    const canary = await catalog.find();
    this.#known = canary;
    if (canary === null) {
      this.#conclude(null);
      return 'untold';
    }
    const isMissed = !(await this.#isThere(canary, options));
    // Asked twice: that one answer is wrong happens, and must not turn clients away.
    if (!isMissed || (await this.#isThere(canary, options))) {
      if (isMissed) this.#missedMs = askedMs;
      this.#seenMs = askedMs;
      this.#conclude(null);
      if (canary.missed) await catalog.noteSighting(canary.s3UploadId, false);
      return 'here';
    }
    // Another node may have renewed it between our two questions.
    if ((await catalog.find())?.s3UploadId !== canary.s3UploadId) return this.#look(options);
    if (canary.missed || canary.ageSecs < TRUSTED_FOR_SECS) {
      this.#missedMs = askedMs;
      this.#conclude(GONE);
      if (!canary.missed) await catalog.noteSighting(canary.s3UploadId, true);
      return 'gone';
    }
    const problem = await this.#problemWithMarker(options);
    this.#conclude(problem);
    return problem === null ? 'untold' : 'gone';
  }

  async #problemWithMarker(options: CallOptions): Promise<string | null> {
    try {
      await this.#dependencies.marker.demandNamed(options);
      return null;
    } catch (error) {
      if (error instanceof ForeignBucketError) return error.message;
      throw error;
    }
  }

  async #isThere({ objectKey, s3UploadId }: Canary, options: CallOptions): Promise<boolean> {
    return (await this.#dependencies.storage.listParts(objectKey, s3UploadId, options)) !== null;
  }

  /** @param problem why this is another storage; null: nothing speaks for that */
  #conclude(problem: string | null): void {
    const { onChange } = this.#dependencies;
    if (problem !== null) {
      if (this.#elsewhere !== null) return;
      this.#elsewhere = new StorageElsewhereError(problem);
      onChange(this.#elsewhere);
    } else if (this.#elsewhere !== null) {
      this.#elsewhere = null;
      onChange(null);
    }
  }

  async #replace(before: string | null, options: CallOptions): Promise<void> {
    const { catalog, identity, storage, keyPrefix } = this.#dependencies;
    const { catalogId } = await identity.read();
    const objectKey = `${uploadsPrefix(keyPrefix)}.tus-relay-canary-${catalogId}`;
    const { s3UploadId } = await storage.createMultipartUpload(objectKey, {}, options);
    if (!(await catalog.replace(before, objectKey, s3UploadId))) {
      // Another node's is the canary.
      await storage.abortMultipartUpload(objectKey, s3UploadId, options);
      return;
    }
    this.#missedMs = Number.NEGATIVE_INFINITY;
    await this.#look(options);
    if (before !== null) await this.#removeOld(objectKey, s3UploadId, options);
  }

  /**
   * Those before this one, and of nodes that were killed before they could commit theirs. Not what is younger than a day:
   * another copy of this catalog, which nothing tells from it for an hour (bucket-marker.ts), may have its canary there.
   */
  async #removeOld(objectKey: string, canaryId: string, options: CallOptions): Promise<void> {
    const { storage } = this.#dependencies;
    const until = Date.now() - REMOVED_AFTER_MS;
    try {
      for (const { s3UploadId, initiated } of await storage.listMultipartUploads(objectKey, options)) {
        if (s3UploadId === canaryId || initiated === null || initiated.getTime() > until) continue;
        await storage.abortMultipartUpload(objectKey, s3UploadId, options);
      }
    } catch (error) {
      // It only tidies up: the next renewal does it, or the provider where it has no such list.
      if (!(error instanceof S3Error)) throw error;
    }
  }
}

/** @throws StorageElsewhereError for a bucket that the marker says is not ours */
async function ofOurBucket(marked: Promise<void>): Promise<void> {
  try {
    await marked;
  } catch (error) {
    if (error instanceof ForeignBucketError) throw new StorageElsewhereError(error.message, { cause: error });
    throw error;
  }
}

/** Our credentials may not do it: asking again would not help. */
export function isDenied(error: unknown): boolean {
  return error instanceof S3Error && error.s3Code === 'AccessDenied';
}

const GONE =
  'this is not the storage that uploads were written to: it does not know the canary, a multipart upload of this ' +
  'catalog. Check S3_ENDPOINT, S3_BUCKET, S3_KEY_PREFIX and the account; nothing is deleted or given up meanwhile. If ' +
  'this is the storage all the same (the database was restored, the canary was removed, or you have moved), sweep with ' +
  '--deep --adopt';
