import { fileTypeFromBuffer } from 'file-type';

/** As much of a file's beginning as its type can depend on. */
export const TYPE_HEAD_BYTES = 4_100;

/**
 * What the first bytes say that a file is. Reads no more than {@link TYPE_HEAD_BYTES}.
 *
 * @returns a media type; null when they say nothing, as for plain text. Never rejects: the bytes are a stranger's.
 */
export async function detectType(head: Uint8Array): Promise<string | null> {
  try {
    const found = await fileTypeFromBuffer(head.subarray(0, TYPE_HEAD_BYTES));
    return found?.mime ?? null;
  } catch {
    return null;
  }
}
