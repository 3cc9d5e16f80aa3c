/**
 * Chunks of this size are kept as they came: what a fast client sends, and what is sent on soon. Smaller ones come from
 * slower clients and stay longer; kept, they would outlive the young generation of the heap and leave it to the costly
 * collection of the old one.
 */
export const GATHER_BELOW_BYTES = 64 * 1024;

/** The first block is small, so that a thousand clients of a byte a second hold about a mebibyte. */
const FIRST_BLOCK_BYTES = 1024;
/** Blocks of this size are used again and again. */
export const LARGEST_BLOCK_BYTES = 64 * 1024;

/** Where blocks of LARGEST_BLOCK_BYTES come from, and go to. */
export interface BlockPool {
  takeBlock(): Buffer;
  returnBlock(block: Uint8Array): void;
}

/**
 * Chunks in memory, in order. Large ones are kept as they came; small ones are copied into blocks that grow with them.
 * What is in the open block does not count as a chunk before {@link cut}.
 */
export class ChunkList {
  readonly #pool: BlockPool;
  readonly #chunks: Uint8Array[] = [];
  /** Blocks of the pool that some chunk, or what is being gathered, lies in. */
  readonly #pooled = new Map<ArrayBufferLike, Buffer>();
  #block: Buffer | null = null;
  /** What lies before it is in `#chunks` already. */
  #blockStart = 0;
  #blockUsed = 0;

  constructor(pool: BlockPool) {
    this.#pool = pool;
  }

  /** All of them, after a {@link cut}. */
  get chunks(): readonly Uint8Array[] {
    return this.#chunks;
  }

  /** @returns memory that has to be allocated, or taken over, to hold this chunk; 0 when an open block has room */
  chargeFor(chunk: Uint8Array): number {
    if (chunk.length >= GATHER_BELOW_BYTES) return isViewOfMore(chunk) ? chunk.length : chunk.buffer.byteLength;
    const missing = chunk.length - this.#blockRoom();
    return missing <= 0 ? 0 : this.#nextBlockBytes(missing);
  }

  /** @returns bytes of the chunks that this has cut or added: all but what went into the open block */
  add(chunk: Uint8Array): number {
    if (chunk.length < GATHER_BELOW_BYTES) return this.#gather(chunk);
    const cut = this.#blockUsed > this.#blockStart ? this.cut() : 0;
    this.#chunks.push(isViewOfMore(chunk) ? copyOf(chunk) : chunk);
    return cut + chunk.length;
  }

  /** What is in the block becomes a chunk; its free rest is gathered into further on. @returns the chunk's bytes */
  cut(): number {
    const bytes = this.#blockUsed - this.#blockStart;
    if (this.#block === null || bytes === 0) return 0;
    this.#chunks.push(this.#block.subarray(this.#blockStart, this.#blockUsed));
    this.#blockStart = this.#blockUsed;
    return bytes;
  }

  /** Nobody reads them any more. */
  dropFirst(count: number): void {
    for (const chunk of this.#chunks.splice(0, count)) {
      // The chunk that ends a block is the last that lies in it.
      if (chunk.byteOffset + chunk.length === chunk.buffer.byteLength) this.#returnBlock(chunk.buffer);
    }
  }

  /** Nobody reads any of them any more. */
  clear(): void {
    this.#chunks.length = 0;
    for (const buffer of this.#pooled.keys()) this.#returnBlock(buffer);
    this.#block = null;
    this.#blockStart = 0;
    this.#blockUsed = 0;
  }

  #returnBlock(buffer: ArrayBufferLike): void {
    const block = this.#pooled.get(buffer);
    if (block === undefined) return;
    this.#pooled.delete(buffer);
    this.#pool.returnBlock(block);
  }

  #blockRoom(): number {
    return this.#block === null ? 0 : this.#block.length - this.#blockUsed;
  }

  #nextBlockBytes(missing: number): number {
    const grown = this.#block === null ? FIRST_BLOCK_BYTES : Math.min(2 * this.#block.length, LARGEST_BLOCK_BYTES);
    return Math.max(grown, missing);
  }

  #gather(chunk: Uint8Array): number {
    const room = this.#blockRoom();
    const fitting = chunk.length <= room ? chunk : chunk.subarray(0, room);
    this.#block?.set(fitting, this.#blockUsed);
    this.#blockUsed += fitting.length;
    if (fitting.length === chunk.length) return 0;
    const rest = chunk.subarray(fitting.length);
    const cut = this.cut();
    this.#block = this.#openBlock(this.#nextBlockBytes(rest.length));
    this.#block.set(rest);
    this.#blockStart = 0;
    this.#blockUsed = rest.length;
    return cut;
  }

  #openBlock(bytes: number): Buffer {
    if (bytes !== LARGEST_BLOCK_BYTES) return Buffer.allocUnsafeSlow(bytes);
    const block = this.#pool.takeBlock();
    this.#pooled.set(block.buffer, block);
    return block;
  }
}

/** It would keep much more memory alive than it has bytes: a slice of a pool, or the small end of a chunk that was cut. */
function isViewOfMore(chunk: Uint8Array): boolean {
  return chunk.buffer.byteLength > 2 * chunk.length;
}

export function totalBytes(chunks: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const chunk of chunks) bytes += chunk.length;
  return bytes;
}

/** The first bytes of the chunks, at most `count`. Reads no further than it has to. */
export function firstBytes(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  count: number,
): Uint8Array | Promise<Uint8Array> {
  const taken: Uint8Array[] = [];
  let missing = count;
  const take = (chunk: Uint8Array) => {
    taken.push(chunk.subarray(0, missing));
    missing -= Math.min(chunk.length, missing);
  };
  if (Symbol.iterator in chunks) {
    for (const chunk of chunks) {
      if (missing === 0) break;
      take(chunk);
    }
    return Buffer.concat(taken);
  }
  return (async () => {
    for await (const chunk of chunks) {
      take(chunk);
      if (missing === 0) break;
    }
    return Buffer.concat(taken);
  })();
}

function copyOf(chunk: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(chunk.length);
  copy.set(chunk);
  return copy;
}
