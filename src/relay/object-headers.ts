import type { UploadRecord } from '../catalog/upload-record.ts';
import { objectHeaders } from '../pipeline/upload-metadata.ts';
import type { ObjectHeaders, StoredObject } from '../s3/object-storage.ts';

/** User metadata that says whose bytes an object holds. */
export const UPLOAD_STAMP = 'tus-relay-upload';

/** What the object is served with, and the stamp by which a completer recognises it. */
export function uploadObjectHeaders(upload: UploadRecord): ObjectHeaders {
  return { ...objectHeaders(upload.metadata), metadata: { [UPLOAD_STAMP]: upload.uploadId } };
}

/**
 * Whether an object under the upload's key is what the upload was to become. Its size decides, its stamp is a second
 * look; where the length has never been told it is the stamp alone, since no writer stores less than the whole there.
 */
export function isWholeObject(
  object: Pick<StoredObject, 'bytes' | 'metadata'>,
  upload: Pick<UploadRecord, 'uploadId' | 'lengthBytes' | 'offsetBytes'>,
): boolean {
  const stamp = object.metadata[UPLOAD_STAMP];
  if (upload.lengthBytes === null) return stamp === upload.uploadId && object.bytes >= upload.offsetBytes;
  return object.bytes === upload.lengthBytes && (stamp === undefined || stamp === upload.uploadId);
}
