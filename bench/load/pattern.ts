/**
 * What is uploaded, and how it is known again: every upload is a cut of one endless repetition of the same random
 * bytes. The period has no common factor with any part size, so that a part stored in the wrong place is seen.
 */
import { createHash } from 'node:crypto';

const BLOCK_BYTES = 32;
const PERIOD_BYTES = 4 * 1024 * 1024 - 5;

/** The same bytes in every process that asks. */
export class Pattern {
  readonly #bytes = makeBytes();

  /**
   * @param position of the first byte in the endless repetition
   * @returns at most maxBytes, at least one: where the repetition starts again, a slice ends. Nothing is copied.
   */
  slice(position: number, maxBytes: number): Buffer {
    const start = position % PERIOD_BYTES;
    return this.#bytes.subarray(start, Math.min(start + maxBytes, PERIOD_BYTES));
  }

  /** @returns whether the bytes are those that stand at this position */
  matches(bytes: Buffer, position: number): boolean {
    let checked = 0;
    while (checked < bytes.length) {
      const expected = this.slice(position + checked, bytes.length - checked);
      if (expected.compare(bytes, checked, checked + expected.length) !== 0) return false;
      checked += expected.length;
    }
    return true;
  }
}

/** A different cut for each upload, so that two mixed up are seen. */
export function positionOfUpload(index: number): number {
  return (index * 7_919) % PERIOD_BYTES;
}

function makeBytes(): Buffer {
  const blocks = Array.from({ length: Math.ceil(PERIOD_BYTES / BLOCK_BYTES) }, (_, index) =>
    createHash('sha256').update(String(index)).digest(),
  );
  return Buffer.concat(blocks).subarray(0, PERIOD_BYTES);
}
