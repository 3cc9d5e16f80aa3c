import { detectType, TYPE_HEAD_BYTES } from '../pipeline/detect-type.ts';
import type { CallOptions, ObjectStorage } from '../s3/object-storage.ts';

/** What the first bytes of a stored object say that it is; null: nothing that is known. */
export async function detectObjectType(
  storage: Pick<ObjectStorage, 'getObject'>,
  object: { objectKey: string; bytes: number },
  options: CallOptions,
): Promise<string | null> {
  const { objectKey, bytes } = object;
  // A range of nothing is refused.
  if (bytes === 0) return null;
  const last = Math.min(bytes, TYPE_HEAD_BYTES) - 1;
  const opened = await storage.getObject(objectKey, { first: 0, last }, options);
  if (opened === null) throw new Error(`the object ${objectKey} went away while it was looked at`);
  const chunks: Buffer[] = [];
  for await (const chunk of opened.body as AsyncIterable<Buffer>) chunks.push(chunk);
  return detectType(Buffer.concat(chunks));
}
