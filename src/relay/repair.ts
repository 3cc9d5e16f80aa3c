/**
 * Restores the parts of a multipart upload after a late request of a fenced writer has overwritten some of them (design
 * section 4, "InvalidPart at Complete"). Contested parts have a copy under a key that no fenced writer knows; a part
 * that was never contested has had only one content, so whatever ETag S3 lists for it names the right bytes.
 */
import type { CommittedPart } from '../catalog/upload-catalog.ts';
import type { UploadRecord } from '../catalog/upload-record.ts';
import type { CallOptions, ObjectStorage, Payload, StoredPart } from '../s3/object-storage.ts';
import { S3Error } from '../s3/s3-errors.ts';
import { CompletionMissingError } from './relay-errors.ts';
import type { S3Retry } from './s3-retry.ts';

export interface RepairedParts {
  /** For the Complete that follows. */
  parts: CommittedPart[];
  /** Numbers of those that were stored again from their copies. */
  restored: number[];
}

type RepairStorage = Pick<ObjectStorage, 'listParts' | 'uploadPart' | 'uploadPartCopy' | 'getObject'>;

/**
 * @param write sends one S3 write with retries, while the upload is still completing
 * @throws CompletionMissingError when a part without a copy is missing or has another size: `lost`, if it stays so
 */
export async function repairParts(
  upload: UploadRecord,
  s3UploadId: string,
  parts: readonly CommittedPart[],
  storage: RepairStorage,
  retry: S3Retry,
  write: <T>(call: (options: CallOptions) => Promise<T>) => Promise<T>,
): Promise<RepairedParts> {
  const listing = await retry.run((options) => storage.listParts(upload.objectKey, s3UploadId, options));
  if (listing === null) throw new CompletionMissingError(upload.uploadId);
  const listed = new Map(listing.map((part) => [part.partNumber, part]));
  const repaired: RepairedParts = { parts: [], restored: [] };
  for (const part of parts) {
    const found = listed.get(part.partNumber);
    const etag = found?.etag === part.etag ? part.etag : await restore(part, found);
    repaired.parts.push({ ...part, etag });
  }
  return repaired;

  async function restore(part: CommittedPart, found: StoredPart | undefined): Promise<string> {
    const { copyKey, partNumber } = part;
    if (copyKey === null) {
      if (found?.bytes !== part.bytes) throw new CompletionMissingError(upload.uploadId);
      return found.etag;
    }
    const { etag } = await restoreFromCopy(partNumber, copyKey, part.bytes);
    repaired.restored.push(partNumber);
    return etag;
  }

  async function restoreFromCopy(partNumber: number, copyKey: string, bytes: number): Promise<{ etag: string }> {
    const { objectKey } = upload;
    try {
      return await write((options) => storage.uploadPartCopy(objectKey, s3UploadId, partNumber, copyKey, options));
    } catch (error) {
      if (!(error instanceof S3Error) || !lacksPartCopy(error)) throw error;
      const copy = objectPayload(storage, copyKey, bytes);
      return await write((options) => storage.uploadPart(objectKey, s3UploadId, partNumber, copy, options));
    }
  }
}

/** Not every service has UploadPartCopy, and not every one takes each object as its source. */
function lacksPartCopy(error: S3Error): boolean {
  return error.httpStatus === 501 || (error.outcome === 'refused' && error.s3Code !== 'NoSuchUpload');
}

/** An object's bytes as a payload that is fetched anew each time it is sent: no part is held in memory for it. */
function objectPayload(storage: Pick<ObjectStorage, 'getObject'>, key: string, bytes: number): Payload {
  return {
    bytes,
    async *read() {
      const opened = await storage.getObject(key);
      if (opened === null) throw new S3Error('GetObject', 'NoSuchKey', 404, 'refused');
      yield* opened.body;
    },
  };
}
