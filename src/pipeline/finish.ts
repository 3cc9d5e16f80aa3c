import type { Trx } from '../catalog/database.ts';
import { insertFile, type NewFile } from '../catalog/file-catalog.ts';
import type { JobEnqueuer } from './job-queue.ts';
import { QUEUES } from './queues.ts';
import { canHaveThumbnails } from './thumbnail-types.ts';
import { declaredTypeOf, fileNameOf, parseStoredMetadata } from './upload-metadata.ts';

/** The row of `uploads` that the transaction has just marked finished. */
export interface FinishedUpload {
  uploadId: string;
  owner: string;
  objectKey: string;
  offsetBytes: number;
  /** The Upload-Metadata header. */
  metadata: string | null;
  detectedType: string | null;
}

/** The record of the file that the upload has become. */
export function fileOf(upload: FinishedUpload): NewFile {
  const metadata = parseStoredMetadata(upload.metadata);
  return {
    fileId: upload.uploadId,
    owner: upload.owner,
    objectKey: upload.objectKey,
    bytes: upload.offsetBytes,
    declaredType: declaredTypeOf(metadata),
    detectedType: upload.detectedType,
    fileName: fileNameOf(metadata),
    thumbnailsPending: canHaveThumbnails(upload.detectedType),
  };
}

/**
 * What follows from a finished upload: its file record and its jobs (V4, exactly once). Part of the transaction that
 * marks the upload finished, and nothing but SQL, so that all of it is there or none. (A file without jobs,
 * {@link NewFile.thumbnailsPending} false, may as well go along in the statement that marks the upload.)
 */
export async function recordFinished(trx: Trx, jobs: JobEnqueuer, upload: FinishedUpload): Promise<void> {
  const file = fileOf(upload);
  await insertFile(trx, file);
  if (file.thumbnailsPending) await jobs.enqueue(trx, QUEUES.thumbnail, { fileId: file.fileId });
}
