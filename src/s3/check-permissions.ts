/** The look at the start at what our credentials may do, so that it is not the first client who finds it out. */
import type { ObjectStorage } from './object-storage.ts';
import { payloadFrom } from './payload.ts';
import { S3Error } from './s3-errors.ts';

/** As policies of AWS and most other services name them. */
export type S3Permission =
  | 's3:PutObject'
  | 's3:GetObject'
  | 's3:DeleteObject'
  | 's3:AbortMultipartUpload'
  | 's3:ListMultipartUploadParts'
  | 's3:ListBucketMultipartUploads';

type TriedStorage = Pick<
  ObjectStorage,
  | 'putObject'
  | 'headObject'
  | 'deleteObjects'
  | 'createMultipartUpload'
  | 'listParts'
  | 'listMultipartUploads'
  | 'abortMultipartUpload'
>;

/**
 * Tries each on one small object. Only a clear no counts: what fails otherwise is for those who need it to deal with.
 *
 * @param key always the same, so that where deleting is denied one object stays and not one for every start
 * @returns what is denied
 */
export async function findMissingPermissions(storage: TriedStorage, key: string): Promise<S3Permission[]> {
  const missing: S3Permission[] = [];
  const tries = async <T>(permission: S3Permission, call: () => Promise<T>): Promise<T | null> => {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof S3Error)) throw error;
      if (error.httpStatus === 403 && !missing.includes(permission)) missing.push(permission);
      return null;
    }
  };
  await tries('s3:PutObject', () => storage.putObject(key, payloadFrom([]), {}));
  await tries('s3:GetObject', () => storage.headObject(key));
  const multipart = await tries('s3:PutObject', () => storage.createMultipartUpload(key, {}));
  const listed = await tries('s3:ListBucketMultipartUploads', () => storage.listMultipartUploads(key));
  if (multipart !== null)
    await tries('s3:ListMultipartUploadParts', () => storage.listParts(key, multipart.s3UploadId));
  // Those of starts that were killed here, too. What another node tries at this moment answers it with a 404, not a no.
  const tried = new Set(listed?.map((it) => it.s3UploadId));
  if (multipart !== null) tried.add(multipart.s3UploadId);
  for (const id of tried) await tries('s3:AbortMultipartUpload', () => storage.abortMultipartUpload(key, id));
  await tries('s3:DeleteObject', () => storage.deleteObjects([key]));
  return missing;
}
