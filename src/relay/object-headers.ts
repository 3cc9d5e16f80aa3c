import type { UploadRecord } from '../catalog/upload-record.ts';
import { objectHeaders } from '../pipeline/upload-metadata.ts';
import type { ObjectHeaders } from '../s3/object-storage.ts';

/** User metadata that says whose bytes an object holds. */
export const UPLOAD_STAMP = 'tus-relay-upload';

/** What the object is served with, and the stamp by which a completer recognises it. */
export function uploadObjectHeaders(upload: UploadRecord): ObjectHeaders {
  return { ...objectHeaders(upload.metadata), metadata: { [UPLOAD_STAMP]: upload.uploadId } };
}
