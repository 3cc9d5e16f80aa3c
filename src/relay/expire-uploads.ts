/**
 * Ends uploads whose time is over. Before anything of one is given up for deletion S3 is asked whether the whole object
 * is there after all, for then the upload is finished instead. The row says that it never was, but:
 *
 * - The database may be older than the bucket, restored from a backup: what was open then has been finished since, its
 *   client was told so, and its parts are long gone. Deleting the object would destroy the only copy of a file.
 * - A writer of a small upload may have stored it and died before its commit. The bytes are all of the client's, from
 *   one writer: whoever takes over from it takes another key (upload-catalog.ts, claim). That writer's commit, done late.
 *   (So nobody may store a whole object that it is not yet free to commit: a checksum is compared before.)
 *
 * The two cannot be told apart, and need not be: no answer has said otherwise, and keeping is the error that can be
 * mended. A late Complete is neither: it is sent only for a row that has left `open`, and no such row is looked at here.
 * What appears under the key of an upload that has been expired before is late, and is deleted at the recheck: clients
 * have been told that it is gone.
 *
 * Finished or expired is decided by a commit that demands the open row (V6), not by whoever deletes: two sweepers of
 * which one sees the object and the other does not yet cannot both have their way.
 */
import type { Database } from '../catalog/database.ts';
import type { ExpiryCatalog } from '../catalog/expiry-catalog.ts';
import type { UploadRecord } from '../catalog/upload-record.ts';
import type { CallOptions, ObjectStorage } from '../s3/object-storage.ts';
import { detectObjectType } from './detect-object-type.ts';
import { isWholeObject } from './object-headers.ts';
import type { StorageEvidence } from './storage-canary.ts';
import type { EndOfBytes } from './upload-ledger.ts';

/** Questions to S3 that are under way at once. */
const LOOKS_AT_A_TIME = 10;

export interface ExpirerDependencies {
  database: Database;
  expiry: Pick<ExpiryCatalog, 'findOverdue' | 'expire' | 'adopt'>;
  storage: Pick<ObjectStorage, 'headObject' | 'getObject'>;
  /** That an object is not there is believed only of the storage that it would have been written to. */
  evidence: Pick<StorageEvidence, 'demandOurs'>;
  end: Pick<EndOfBytes, 'recordFinished'>;
  /** Called when an upload that was to expire has been finished, since its object was there. */
  onAdopted?: (upload: UploadRecord) => void;
}

export interface ExpiryBatch {
  expired: number;
  adopted: number;
  /** Ids of those that S3 could not be asked about: they stay as they are. */
  unknown: string[];
  /** Why, for the first of them; null when there is none. */
  failure: Error | null;
  /** There were as many as the batch takes. */
  full: boolean;
}

export class UploadExpirer {
  readonly #dependencies: ExpirerDependencies;

  constructor(dependencies: ExpirerDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * @param exceptIds those that S3 could not be asked about a moment ago
   * @throws DatabaseUnavailableError, StorageElsewhereError: what has been ended until then has ended
   */
  async endBatch(limit: number, exceptIds: readonly string[], options: CallOptions): Promise<ExpiryBatch> {
    const overdue = await this.#dependencies.expiry.findOverdue(limit, exceptIds);
    const batch: ExpiryBatch = {
      ...{ expired: 0, adopted: 0, unknown: [], failure: null },
      full: overdue.length === limit,
    };
    const absent: UploadRecord[] = [];
    for (let first = 0; first < overdue.length; first += LOOKS_AT_A_TIME) {
      options.signal?.throwIfAborted();
      const group = overdue.slice(first, first + LOOKS_AT_A_TIME);
      const looks = await Promise.allSettled(group.map((upload) => this.#look(upload, options)));
      for (const [place, look] of looks.entries()) {
        const upload = group[place] as UploadRecord;
        if (look.status === 'rejected') {
          batch.unknown.push(upload.uploadId);
          batch.failure ??= look.reason instanceof Error ? look.reason : new Error(String(look.reason));
        } else if (look.value === null) {
          absent.push(upload);
        } else if (await this.#adopt(upload, look.value)) {
          batch.adopted += 1;
        }
      }
    }
    if (absent.length > 0) await this.#dependencies.evidence.demandOurs(0, options);
    batch.expired = await this.#dependencies.expiry.expire(absent);
    return batch;
  }

  /** @returns the whole object and its type; null when there is none */
  async #look(upload: UploadRecord, options: CallOptions) {
    const { storage } = this.#dependencies;
    const { objectKey } = upload;
    const object = await storage.headObject(objectKey, options);
    if (object === null || !isWholeObject(object, upload)) return null;
    const { bytes } = object;
    return {
      bytes,
      detectedType: upload.detectedType ?? (await detectObjectType(storage, { objectKey, bytes }, options)),
    };
  }

  async #adopt(upload: UploadRecord, object: { bytes: number; detectedType: string | null }): Promise<boolean> {
    const { database, expiry, end, onAdopted } = this.#dependencies;
    const adopted = await database.transaction(async (trx) => {
      const row = await expiry.adopt(trx, upload, object);
      if (row !== null) await end.recordFinished(trx, row);
      return row;
    });
    if (adopted !== null) onAdopted?.(adopted);
    return adopted !== null;
  }
}
