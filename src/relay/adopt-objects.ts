/**
 * Finished objects of ours that the catalog does not know, made into files again. What an object is, it says itself: our
 * stamp names its upload, its key the owner, its headers the name and the type of the file.
 */
import type { AdoptionCatalog, FinishedObject, StampedUpload } from '../catalog/adoption-catalog.ts';
import type { Database } from '../catalog/database.ts';
import type { ListedObject } from '../catalog/sweep-catalog.ts';
import type { UploadRecord } from '../catalog/upload-record.ts';
import { metadataOfObject } from '../pipeline/upload-metadata.ts';
import type { CallOptions, ObjectStorage } from '../s3/object-storage.ts';
import { detectObjectType } from './detect-object-type.ts';
import { inGroups } from './in-groups.ts';
import { isWholeObject, UPLOAD_STAMP } from './object-headers.ts';
import type { EndOfBytes } from './upload-ledger.ts';

/** Questions to S3, and adoptions, that are under way at once. */
const AT_A_TIME = 10;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export interface AdopterDependencies {
  database: Database;
  adoptions: Pick<AdoptionCatalog, keyof AdoptionCatalog>;
  storage: Pick<ObjectStorage, 'headObject' | 'getObject'>;
  end: Pick<EndOfBytes, 'recordFinished'>;
  /** Called for each file that is recorded now. */
  onAdopted?: (upload: UploadRecord) => void;
}

export class ObjectAdopter {
  readonly #dependencies: AdopterDependencies;

  constructor(dependencies: AdopterDependencies) {
    this.#dependencies = dependencies;
  }

  /** @returns keys of uploads that the catalog takes for unfinished, although an object is there */
  async findUnfinished(objects: readonly ListedObject[]): Promise<string[]> {
    return this.#dependencies.adoptions.findUnfinished(objects.map((it) => it.objectKey));
  }

  /**
   * Asks S3 for the headers of each (one request an object).
   *
   * @param objects which no file has
   * @returns those of them that are a whole upload's, by their keys
   * @throws S3Error when S3 does not say: then it is not known what they are
   */
  async findFinished(objects: readonly ListedObject[], options: CallOptions): Promise<Map<string, FinishedObject>> {
    const stamped = (await inGroups(objects, AT_A_TIME, (object) => this.#read(object, options))).filter(
      (it) => it !== null,
    );
    const rows = await this.#dependencies.adoptions.findUploads(stamped.map((it) => it.uploadId));
    const uploads = new Map(rows.map((row) => [row.uploadId, row]));
    const finished = stamped.filter((it) => isFinished(it, uploads.get(it.uploadId)));
    return new Map(finished.map((it) => [it.objectKey, it]));
  }

  /** @returns how many of them are files now; the catalog has learned of the others in another way */
  async adopt(objects: readonly FinishedObject[], options: CallOptions): Promise<number> {
    const adopted = await inGroups(objects, AT_A_TIME, (object) => this.#adoptOne(object, options));
    return adopted.filter((it) => it).length;
  }

  /** @returns null for an object that is not there (any more), or has no stamp of ours */
  async #read(object: ListedObject, options: CallOptions): Promise<FinishedObject | null> {
    const { objectKey, owner } = object;
    const stored = await this.#dependencies.storage.headObject(objectKey, options);
    const uploadId = stored?.metadata[UPLOAD_STAMP];
    if (stored === null || uploadId === undefined || !UUID.test(uploadId)) return null;
    const { bytes, lastModified } = stored;
    return {
      uploadId,
      owner,
      objectKey,
      bytes,
      metadata: metadataOfObject(stored),
      storedAt: lastModified ?? new Date(),
    };
  }

  async #adoptOne(object: FinishedObject, options: CallOptions): Promise<boolean> {
    const { database, adoptions, storage, end, onAdopted } = this.#dependencies;
    options.signal?.throwIfAborted();
    const detectedType = await detectObjectType(storage, object, options);
    const adopted = await database.transaction(async (trx) => {
      const row = await adoptions.adopt(trx, object, detectedType);
      if (row === null) return null;
      await end.recordFinished(trx, row);
      await adoptions.dateFile(trx, object);
      return row;
    });
    if (adopted !== null) onAdopted?.(adopted);
    return adopted !== null;
  }
}

/**
 * Without a row the stamp alone decides: no writer stores less than the whole under it. A row that is terminated or has
 * its own object says that this one is a leftover.
 */
function isFinished(object: FinishedObject, row: StampedUpload | undefined): boolean {
  if (row === undefined) return true;
  if (row.state === 'terminated' || row.state === 'finished') return false;
  return isWholeObject({ bytes: object.bytes, metadata: { [UPLOAD_STAMP]: object.uploadId } }, row);
}
