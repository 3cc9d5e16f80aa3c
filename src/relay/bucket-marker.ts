/**
 * The marker: a small object under the prefix that names the one catalog whose word on these objects counts. A deep
 * sweep deletes what the catalog does not know, so it must not be done with the wrong catalog: another deployment's in
 * the same bucket, a restored backup, a clone.
 *
 * - About hourly every catalog rotates its generation in the marker (catalog-identity.ts), but only where the marker is
 *   its own. It writes a first one only where nothing under the prefix is unknown to it; a marker that has vanished, is
 *   unreadable, or names another is left as it is.
 * - A catalog that finds another's marker says so in an object beside it (the protest). As long as that is there nobody
 *   sweeps deeply: of two copies of one catalog the one that happens to rotate first must not delete the other's objects.
 *   Both are looked at before anything is deleted, and nothing younger than a day is ever deleted; within an hour of two
 *   catalogs sharing a bucket one of them has protested.
 * - `adopt` is the operator's word that this catalog is the one: it writes the marker and removes the protest.
 *
 * What it cannot see: a backup that is not older than the last rotation has the marker's generation.
 */
import { buffer } from 'node:stream/consumers';
import type { CatalogIdentity, CatalogIdentityStore } from '../catalog/catalog-identity.ts';
import type { SweepCatalog } from '../catalog/sweep-catalog.ts';
import type { CallOptions, ObjectStorage } from '../s3/object-storage.ts';
import { readObjectKey, uploadsPrefix } from './listed-key.ts';

/** What is longer is none of ours. */
const MAX_MARKER_BYTES = 4_096;
const UUID = /^[0-9a-f-]{36}$/;

/** Why a deep sweep is not to be done; the message says what to look at. */
export class ForeignBucketError extends Error {
  override readonly name = 'ForeignBucketError';
}

interface Marker {
  catalogId: string;
  generation: string;
}

type Found = Marker | 'none' | 'unreadable';

export interface MarkerDependencies {
  identity: Pick<CatalogIdentityStore, keyof CatalogIdentityStore>;
  catalog: Pick<SweepCatalog, 'findUnknownObjects'>;
  storage: Pick<ObjectStorage, 'getObject' | 'putObject' | 'deleteObjects' | 'listObjects'>;
  keyPrefix: string;
}

export class BucketMarker {
  readonly markerKey: string;
  readonly protestKey: string;
  readonly #dependencies: MarkerDependencies;

  constructor(dependencies: MarkerDependencies) {
    this.#dependencies = dependencies;
    const prefix = uploadsPrefix(dependencies.keyPrefix);
    this.markerKey = `${prefix}.tus-relay-catalog`;
    this.protestKey = `${prefix}.tus-relay-contested`;
  }

  /**
   * The hourly turn; does nothing before it is due.
   *
   * @throws ForeignBucketError where the marker is not ours and not ours to write
   */
  async keep(options: CallOptions = {}): Promise<void> {
    const identity = await this.#dependencies.identity.read();
    if (!identity.rotationDue) return;
    const found = await this.#load(options);
    const problem = await this.#problemWith(found, identity, options);
    if (problem !== null) {
      if (typeof found === 'object') await this.#put(this.protestKey, { catalogId: identity.catalogId }, options);
      throw new ForeignBucketError(problem);
    }
    await this.#rotate(identity.catalogId, options);
  }

  /** Before what nobody knows is deleted. @throws ForeignBucketError unless the marker is ours and nobody protests */
  async demandOurs(options: CallOptions = {}): Promise<void> {
    await this.demandCurrent(options);
    const protest = await this.#read(this.protestKey, options);
    if (protest !== null) throw new ForeignBucketError(contested(this.protestKey, catalogIdOf(protest)));
  }

  /**
   * Before anything is deleted: no later copy of this catalog goes on here. A protest does not count, or a clone could
   * keep the original from removing what it knows to be unneeded.
   *
   * @throws ForeignBucketError
   */
  async demandCurrent(options: CallOptions = {}): Promise<void> {
    const identity = await this.#dependencies.identity.read();
    const found = await this.#load(options);
    // Not "may we write one?": nothing is deleted on the strength of a marker that is not there.
    const problem = found === 'none' ? missing(this.markerKey) : await this.#problemWith(found, identity, options);
    if (problem !== null) throw new ForeignBucketError(problem);
  }

  /**
   * Before what is missing in the bucket is believed to be gone: is this bucket this catalog's? Of any generation: what a
   * restored backup knows of and the bucket has not is gone all the same.
   *
   * @throws ForeignBucketError
   */
  async demandNamed(options: CallOptions = {}): Promise<void> {
    const { catalogId } = await this.#dependencies.identity.read();
    const found = await this.#load(options);
    if (found === 'none') throw new ForeignBucketError(missing(this.markerKey));
    if (found === 'unreadable') throw new ForeignBucketError(unreadable(this.markerKey));
    if (found.catalogId !== catalogId) {
      throw new ForeignBucketError(foreign(this.markerKey, found.catalogId, catalogId));
    }
  }

  /** The operator says that this catalog is the one. */
  async adopt(options: CallOptions = {}): Promise<void> {
    const identity = await this.#dependencies.identity.read();
    await this.#rotate(identity.catalogId, options);
    await this.#dependencies.storage.deleteObjects([this.protestKey], options);
  }

  /** @returns the sentence that refuses; null when the marker is ours, or ours to write */
  async #problemWith(found: Found, identity: CatalogIdentity, options: CallOptions): Promise<string | null> {
    const key = this.markerKey;
    if (found === 'unreadable') return unreadable(key);
    if (found === 'none') {
      if (identity.generation !== null) return missing(key);
      return (await this.#holdsUnknownObjects(options)) ? unclaimed(key) : null;
    }
    if (found.catalogId !== identity.catalogId) return foreign(key, found.catalogId, identity.catalogId);
    // Another node of this catalog may have rotated it between our two looks.
    const later = await this.#dependencies.identity.read();
    const ours = [identity.generation, identity.pending, later.generation, later.pending];
    return ours.includes(found.generation) ? null : outdated(key);
  }

  /** One page tells: a bucket that another catalog has filled holds nothing that this one knows. */
  async #holdsUnknownObjects(options: CallOptions): Promise<boolean> {
    const { catalog, storage, keyPrefix } = this.#dependencies;
    const { objects } = await storage.listObjects(uploadsPrefix(keyPrefix), undefined, options);
    const ours = objects.map(({ key }) => readObjectKey(keyPrefix, key)).filter((it) => it !== null);
    return (await catalog.findUnknownObjects(ours)).length > 0;
  }

  async #rotate(catalogId: string, options: CallOptions): Promise<void> {
    const generation = await this.#dependencies.identity.beginRotation();
    await this.#put(this.markerKey, { catalogId, generation }, options);
    await this.#dependencies.identity.settleRotation(generation);
  }

  async #load(options: CallOptions): Promise<Found> {
    const stored = await this.#read(this.markerKey, options);
    if (stored === null) return 'none';
    const { catalogId, generation } = stored;
    if (typeof catalogId !== 'string' || typeof generation !== 'string') return 'unreadable';
    return UUID.test(catalogId) && UUID.test(generation) ? { catalogId, generation } : 'unreadable';
  }

  /** @returns null when it is not there, an empty object when it is no JSON object */
  async #read(key: string, options: CallOptions): Promise<Record<string, unknown> | null> {
    const opened = await this.#dependencies.storage.getObject(key, undefined, options);
    if (opened === null) return null;
    if (opened.bytes > MAX_MARKER_BYTES) {
      opened.body.destroy();
      return {};
    }
    const text = (await buffer(opened.body)).toString('utf8');
    try {
      return Object(JSON.parse(text)) as Record<string, unknown>;
    } catch {
      return {};
    }
  }

  async #put(key: string, content: object, options: CallOptions): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify({ about: ABOUT, ...content, writtenAt: new Date() }, null, 2)}\n`);
    const body = { bytes: bytes.length, read: () => [bytes] };
    await this.#dependencies.storage.putObject(key, body, { contentType: 'application/json' }, options);
  }
}

const ABOUT = 'tus-relay: names the catalog that these objects belong to. Removing it stops deep sweeps.';
const ADOPT = 'If this catalog is the one that all objects under the prefix belong to, sweep with --deep --adopt.';

function missing(key: string): string {
  return `there is no marker ${key} in the bucket: check that S3_BUCKET and S3_KEY_PREFIX are those of this database. ${ADOPT}`;
}

function unreadable(key: string): string {
  return `the marker ${key} cannot be read as one of tus-relay's: look at who wrote it. ${ADOPT}`;
}

function unclaimed(key: string): string {
  return (
    `the bucket holds uploads that this catalog does not know, and no marker ${key}: check that DATABASE_URL or ` +
    `DATA_DIR, S3_BUCKET and S3_KEY_PREFIX belong together. ${ADOPT}`
  );
}

function foreign(key: string, theirId: string, ourId: string): string {
  return (
    `the marker ${key} names another catalog (${theirId}; this one is ${ourId}): check that no other deployment uses ` +
    `this bucket with this prefix. ${ADOPT}`
  );
}

function outdated(key: string): string {
  return (
    `the marker ${key} has been renewed by a later copy of this catalog: this database is a restored backup or a clone, ` +
    `and would take what was uploaded since for orphans. Check that the other copy is not in use. ${ADOPT}`
  );
}

function contested(key: string, catalogId: string): string {
  return (
    `another catalog (${catalogId}) has found this one's marker and said so in ${key}: check that no other deployment, ` +
    `and no clone of this one, uses this bucket with this prefix. ${ADOPT}`
  );
}

function catalogIdOf(protest: Record<string, unknown>): string {
  return typeof protest.catalogId === 'string' && UUID.test(protest.catalogId) ? protest.catalogId : 'unnamed';
}
