import type { Payload } from '../s3/object-storage.ts';

/** Chunks below this size are gathered: a slow client's single bytes would cost more in bookkeeping than in bytes. */
const GATHER_BELOW_BYTES = 4 * 1024;
const GATHERED_BLOCK_BYTES = 16 * 1024;

/**
 * The bytes of one part (or of its beginning) while they arrive. It grows with them, so that a slow client holds what
 * it has sent and no more; large chunks are kept as they came, without a copy.
 */
export class PartBuffer implements Payload {
  readonly #chunks: Uint8Array[] = [];
  /** A block with room left; its used part is not in `#chunks` yet. */
  #block: Buffer | null = null;
  #blockUsed = 0;
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  append(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    if (chunk.length >= GATHER_BELOW_BYTES) {
      this.#closeBlock();
      this.#chunks.push(chunk);
      return;
    }
    let rest = chunk;
    while (rest.length > 0) {
      this.#block ??= Buffer.allocUnsafeSlow(GATHERED_BLOCK_BYTES);
      const taken = rest.subarray(0, this.#block.length - this.#blockUsed);
      this.#block.set(taken, this.#blockUsed);
      this.#blockUsed += taken.length;
      rest = rest.subarray(taken.length);
      if (this.#blockUsed === this.#block.length) this.#closeBlock();
    }
  }

  /** Puts bytes in front: a tail that was stored before. */
  prepend(chunks: readonly Uint8Array[]): void {
    this.#chunks.unshift(...chunks);
    for (const chunk of chunks) this.#bytes += chunk.length;
  }

  /** What is sent to S3, and sent again in a retry. Nothing is appended any more once it has been read. */
  read(): readonly Uint8Array[] {
    this.#closeBlock();
    return this.#chunks;
  }

  /** The first bytes, at most `count`, for telling the content's type. */
  head(count: number): Uint8Array {
    const taken: Uint8Array[] = [];
    let bytes = 0;
    for (const chunk of this.read()) {
      if (bytes >= count) break;
      taken.push(chunk.subarray(0, count - bytes));
      bytes += Math.min(chunk.length, count - bytes);
    }
    return Buffer.concat(taken);
  }

  #closeBlock(): void {
    if (this.#block === null) return;
    if (this.#blockUsed > 0) this.#chunks.push(this.#block.subarray(0, this.#blockUsed));
    this.#block = null;
    this.#blockUsed = 0;
  }
}
