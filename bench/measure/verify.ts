import type { SentUpload } from '../load/load.ts';
import type { Pattern } from '../load/pattern.ts';
import type { Bucket } from '../services/bucket.ts';

const AT_A_TIME = 8;

/**
 * Reads back from S3 what a server said it had stored, and compares every byte.
 *
 * @param objectKeysOf keys of the objects which, one behind the other, are the upload
 * @throws at the first upload that is not what was sent
 */
export async function verifyStored(
  uploads: readonly SentUpload[],
  objectKeysOf: (upload: SentUpload) => Promise<string[]>,
  bucket: Bucket,
  pattern: Pattern,
): Promise<void> {
  const left = uploads.values();
  const worker = async () => {
    for (const upload of left) await verify(upload, await objectKeysOf(upload), bucket, pattern);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
}

async function verify(upload: SentUpload, keys: string[], bucket: Bucket, pattern: Pattern): Promise<void> {
  let offset = 0;
  for (const key of keys) {
    for await (const chunk of await bucket.read(key)) {
      if (!pattern.matches(chunk as Buffer, upload.position + offset)) {
        throw new Error(
          `stored bytes of ${upload.url} differ from what was sent, at offset ${offset} or soon behind it`,
        );
      }
      offset += (chunk as Buffer).length;
    }
  }
  if (offset !== upload.bytes) throw new Error(`${upload.url}: sent ${upload.bytes} bytes, stored are ${offset}`);
}
