/**
 * From `completing` to `finished` (design section 3, steps 8 and 9): CompleteMultipartUpload with the parts from the
 * catalog, then the finishing transaction (V4). Safe to repeat at every point, by any node, with or without the client.
 */
import type { Database } from '../catalog/database.ts';
import type { UploadCatalogPort } from '../catalog/upload-catalog.ts';
import type { UploadRecord } from '../catalog/upload-record.ts';
import type { ObjectStorage } from '../s3/object-storage.ts';
import { payloadFrom } from '../s3/payload.ts';
import { S3Error } from '../s3/s3-errors.ts';
import type { Clock } from './clock.ts';
import { uploadObjectHeaders } from './part-uploader.ts';
import { UploadCompletingError, UploadGoneError, UploadNotFoundError } from './relay-errors.ts';
import { withS3Retry } from './s3-retry.ts';
import type { EndOfBytes } from './upload-ledger.ts';

/** S3 knows neither the multipart upload nor the object. Said once, it may be a Complete that is still at work. */
export class CompletionMissingError extends UploadCompletingError {}

export interface CompleterDependencies {
  database: Database;
  catalog: UploadCatalogPort;
  storage: ObjectStorage;
  clock: Clock;
  end: Pick<EndOfBytes, 'recordFinished'>;
  /** Called after the finishing transaction of this process. */
  onFinished?: (upload: UploadRecord) => void;
}

export class UploadCompleter {
  readonly #dependencies: CompleterDependencies;
  /** One completion of an upload at a time on this node. */
  readonly #running = new Map<string, Promise<UploadRecord>>();

  constructor(dependencies: CompleterDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Finishes an upload whose bytes are all there; returns at once when it is finished already.
   *
   * @returns the finished row
   * @throws UploadGoneError when it ended otherwise, S3Error and UnavailableError when it is to be tried again
   */
  complete(uploadId: string): Promise<UploadRecord> {
    const running = this.#running.get(uploadId) ?? this.#run(uploadId);
    this.#running.set(uploadId, running);
    return running;
  }

  async #run(uploadId: string): Promise<UploadRecord> {
    try {
      const upload = await this.#find(uploadId);
      if (upload.state === 'finished') return upload;
      if (upload.state !== 'completing') throw new UploadGoneError(uploadId, `is ${upload.state}`);
      await this.#putTogether(upload);
      return await this.#finish(upload);
    } finally {
      this.#running.delete(uploadId);
    }
  }

  async #find(uploadId: string): Promise<UploadRecord> {
    const upload = await this.#dependencies.catalog.find(uploadId);
    if (upload === null) throw new UploadNotFoundError(uploadId);
    return upload;
  }

  async #putTogether(upload: UploadRecord): Promise<void> {
    const { storage, clock, catalog } = this.#dependencies;
    const { objectKey, s3UploadId } = upload;
    if (s3UploadId === null) {
      // Only an upload of length 0 is completing without parts.
      await withS3Retry(clock, () => storage.putObject(objectKey, payloadFrom([]), uploadObjectHeaders(upload)));
      return;
    }
    const parts = await catalog.findParts(upload.uploadId);
    try {
      await withS3Retry(clock, () => storage.completeMultipartUpload(objectKey, s3UploadId, parts));
    } catch (error) {
      if (!(error instanceof S3Error) || error.s3Code !== 'NoSuchUpload') throw error;
      await this.#expectObject(upload);
    }
  }

  /** NoSuchUpload: a Complete has come before us, or the provider removed the upload. The object's size decides. */
  async #expectObject(upload: UploadRecord): Promise<void> {
    const { storage, clock } = this.#dependencies;
    const object = await withS3Retry(clock, () => storage.headObject(upload.objectKey));
    if (object?.bytes !== upload.lengthBytes) throw new CompletionMissingError(upload.uploadId);
  }

  async #finish(completing: UploadRecord): Promise<UploadRecord> {
    const { database, catalog, end, onFinished } = this.#dependencies;
    const finished = await database.transaction(async (trx) => {
      const row = await catalog.finishCompleting(trx, completing.uploadId);
      if (row !== null) await end.recordFinished(trx, row);
      return row;
    });
    if (finished !== null) {
      onFinished?.(finished);
      return finished;
    }
    // Another node's completion, or a termination, came first.
    const upload = await this.#find(completing.uploadId);
    if (upload.state !== 'finished') throw new UploadGoneError(upload.uploadId, `is ${upload.state}`);
    return upload;
  }
}
