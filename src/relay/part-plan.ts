/**
 * How an upload is cut into S3 parts (V9): part k covers bytes [(k-1)·P, k·P), k = 1, 2, 3 … without gaps, and only the
 * last may be shorter. Equal, aligned parts are what the strictest services ask for, and make offset ↔ part arithmetic.
 */
import { RelayError } from '../errors.ts';

const MIB = 1024 * 1024;

/** S3's minimum for every part but the last. */
export const MIN_PART_BYTES = 5 * MIB;
/** S3's maximum for one part. */
export const MAX_PART_BYTES = 5 * 1024 * MIB;

export class UploadTooLargeError extends RelayError {
  override readonly name = 'UploadTooLargeError';

  constructor(bytes: number, maxBytes: number) {
    super('upload_too_large', 413, `an upload of ${bytes} bytes is more than the ${maxBytes} that are possible here`);
  }
}

/**
 * Bytes per part, fixed before the first part is sent.
 *
 * @param lengthBytes whole upload; null while deferred (then the operator's wish as it is)
 * @param wishedBytes the operator's `PART_BYTES`
 * @param maxParts the storage's limit (`S3_MAX_PARTS`)
 * @returns the wish, or the next whole MiB with which a known length fits into `maxParts` parts
 * @throws UploadTooLargeError when not even the largest parts are enough
 */
export function choosePartBytes(lengthBytes: number | null, wishedBytes: number, maxParts: number): number {
  if (lengthBytes === null || lengthBytes <= wishedBytes * maxParts) return wishedBytes;
  const neededBytes = Math.ceil(lengthBytes / maxParts / MIB) * MIB;
  if (neededBytes > MAX_PART_BYTES) throw new UploadTooLargeError(lengthBytes, MAX_PART_BYTES * maxParts);
  return neededBytes;
}

/** Whole parts below an offset; also the number of the last of them. */
export function wholeParts(offsetBytes: number, partBytes: number): number {
  return Math.floor(offsetBytes / partBytes);
}

/** Bytes past the last whole part: what the tail's segments hold. */
export function tailBytes(offsetBytes: number, partBytes: number): number {
  return offsetBytes % partBytes;
}

/**
 * Is the whole content stored by a single PutObject?
 *
 * Known only with a known length: a deferred upload that fills a part has to start a multipart upload to go on.
 */
export function fitsOnePart(lengthBytes: number | null, partBytes: number): boolean {
  return lengthBytes !== null && lengthBytes <= partBytes;
}
