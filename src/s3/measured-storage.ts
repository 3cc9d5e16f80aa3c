/** {@link ObjectStorage} that tells how long each call took and how it ended. Nothing else changes. */
import type { S3CallOutcome } from '../observability/s3-metrics.ts';
import type { MultipartPrefixLister, ObjectStorage } from './object-storage.ts';
import { S3Error } from './s3-errors.ts';

export interface S3CallObserver {
  observe(operation: string, outcome: S3CallOutcome, seconds: number): void;
  /** After a payload was stored. */
  sent(operation: string, bytes: number): void;
}

type MeasuredStorage = ObjectStorage & MultipartPrefixLister;

export function measuredStorage(storage: MeasuredStorage, observer: S3CallObserver): MeasuredStorage {
  async function measure<T>(operation: string, call: () => Promise<T>): Promise<T> {
    const startedMs = performance.now();
    let outcome: S3CallOutcome = 'ok';
    try {
      return await call();
    } catch (error) {
      outcome = outcomeOf(error);
      throw error;
    } finally {
      observer.observe(operation, outcome, (performance.now() - startedMs) / 1_000);
    }
  }
  return {
    async putObject(key, body, headers, options) {
      const stored = await measure('PutObject', () => storage.putObject(key, body, headers, options));
      observer.sent('PutObject', body.bytes);
      return stored;
    },
    async uploadPart(key, s3UploadId, partNumber, body, options) {
      const stored = await measure('UploadPart', () => storage.uploadPart(key, s3UploadId, partNumber, body, options));
      observer.sent('UploadPart', body.bytes);
      return stored;
    },
    headObject: (...args) => measure('HeadObject', () => storage.headObject(...args)),
    getObject: (...args) => measure('GetObject', () => storage.getObject(...args)),
    deleteObjects: (...args) => measure('DeleteObjects', () => storage.deleteObjects(...args)),
    listObjects: (...args) => measure('ListObjectsV2', () => storage.listObjects(...args)),
    createMultipartUpload: (...args) => measure('CreateMultipartUpload', () => storage.createMultipartUpload(...args)),
    uploadPartCopy: (...args) => measure('UploadPartCopy', () => storage.uploadPartCopy(...args)),
    completeMultipartUpload: (...args) =>
      measure('CompleteMultipartUpload', () => storage.completeMultipartUpload(...args)),
    abortMultipartUpload: (...args) => measure('AbortMultipartUpload', () => storage.abortMultipartUpload(...args)),
    listParts: (...args) => measure('ListParts', () => storage.listParts(...args)),
    listMultipartUploads: (...args) => measure('ListMultipartUploads', () => storage.listMultipartUploads(...args)),
    listMultipartUploadsUnder: (...args) =>
      measure('ListMultipartUploads', () => storage.listMultipartUploadsUnder(...args)),
  };
}

function outcomeOf(error: unknown): S3CallOutcome {
  if (!(error instanceof S3Error)) return 'refused';
  if (error.s3Code === 'Aborted') return 'aborted';
  return error.retryable ? 'retryable' : 'refused';
}
