import { freeMemory } from './free-memory.ts';

/** The first block is small, so that a thousand clients of a byte a second hold about a mebibyte. */
const FIRST_BLOCK_BYTES = 1024;
/** Blocks of this size are used again and again; it is also the most that Node reads from a socket at once. */
export const LARGEST_BLOCK_BYTES = 64 * 1024;

/** Where blocks of LARGEST_BLOCK_BYTES come from. */
export interface BlockPool {
  takeBlock(): Buffer;
}

/**
 * Bytes in memory, in order, copied into blocks that grow with them. The one copy is what keeps memory bounded: a
 * chunk as it came would be memory of its own, which is really free only when the garbage collector gets to it, and
 * every collection of the many that this takes looks through the whole heap. A copied chunk is given back at once
 * (see `BodyReader.free`), and so are the blocks, to their pool.
 *
 * What is in the open block does not count as a chunk before {@link cut}.
 */
export class ChunkList {
  readonly #pool: BlockPool;
  readonly #chunks: Buffer[] = [];
  /** Blocks of the pool that some chunk, or what is being gathered, lies in. */
  readonly #pooled = new Map<ArrayBufferLike, Buffer>();
  /** Blocks of the pool that nothing lies in any more. */
  #spare: Buffer[] = [];
  #block: Buffer | null = null;
  /** Size of the newest block; 0: there was none. */
  #blockBytes = 0;
  /** What lies before it is in `#chunks` already. */
  #blockStart = 0;
  #blockUsed = 0;

  constructor(pool: BlockPool) {
    this.#pool = pool;
  }

  /** All of them, after a {@link cut}. */
  get chunks(): readonly Buffer[] {
    return this.#chunks;
  }

  /** @returns memory that has to be allocated to hold so many more bytes; 0 when the open block has room */
  chargeFor(bytes: number): number {
    const missing = bytes - this.#blockRoom();
    return missing <= 0 ? 0 : this.#nextBlockBytes(missing);
  }

  /** Copies the chunk. @returns bytes of the chunks that this has cut: all but what is in the open block */
  add(chunk: Uint8Array): number {
    const room = this.#blockRoom();
    const fitting = chunk.length <= room ? chunk : chunk.subarray(0, room);
    this.#block?.set(fitting, this.#blockUsed);
    this.#blockUsed += fitting.length;
    if (fitting.length === chunk.length) return 0;
    const rest = chunk.subarray(fitting.length);
    const cut = this.cut();
    this.#blockBytes = this.#nextBlockBytes(rest.length);
    this.#block = this.#openBlock(this.#blockBytes);
    this.#block.set(rest);
    this.#blockStart = 0;
    this.#blockUsed = rest.length;
    return cut;
  }

  /** What is in the block becomes a chunk; its free rest is filled further on. @returns the chunk's bytes */
  cut(): number {
    const bytes = this.#blockUsed - this.#blockStart;
    if (this.#block === null || bytes === 0) return 0;
    this.#chunks.push(this.#block.subarray(this.#blockStart, this.#blockUsed));
    this.#blockStart = this.#blockUsed;
    if (this.#blockUsed === this.#block.length) this.#block = null;
    return bytes;
  }

  /** They are in a file now, and nobody reads them any more. Their blocks are used for the next ones. */
  dropFirst(count: number): void {
    for (const { buffer, byteOffset, length } of this.#chunks.splice(0, count)) {
      // The chunk that ends a block is the last that lies in it.
      if (byteOffset + length < buffer.byteLength) continue;
      const block = this.#pooled.get(buffer);
      this.#pooled.delete(buffer);
      if (block !== undefined) this.#spare.push(block);
      else freeMemory(buffer);
    }
  }

  /** A spare block, or memory that is as large, to read a file through. */
  borrowBlock(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(LARGEST_BLOCK_BYTES);
  }

  /** Nobody reads what is in it any more. */
  returnBlock(block: Buffer): void {
    this.#spare.push(block);
  }

  /** @returns the spare blocks but `keep` of them, for the pool */
  giveSpare(keep: number): Buffer[] {
    return this.#spare.splice(keep);
  }

  /** Nobody reads any chunk any more. @returns all blocks, for the pool */
  clear(): Buffer[] {
    const blocks = [...this.#pooled.values(), ...this.#spare];
    this.#chunks.length = 0;
    this.#pooled.clear();
    this.#spare = [];
    this.#block = null;
    return blocks;
  }

  #blockRoom(): number {
    return this.#block === null ? 0 : this.#block.length - this.#blockUsed;
  }

  #nextBlockBytes(missing: number): number {
    const grown = Math.min(Math.max(FIRST_BLOCK_BYTES, 2 * this.#blockBytes), LARGEST_BLOCK_BYTES);
    // Blocks that are not of the pool are garbage in the end: whatever is nearly as large is one of the pool.
    return missing > LARGEST_BLOCK_BYTES / 2 ? Math.max(missing, LARGEST_BLOCK_BYTES) : Math.max(grown, missing);
  }

  #openBlock(bytes: number): Buffer {
    if (bytes !== LARGEST_BLOCK_BYTES) return Buffer.allocUnsafeSlow(bytes);
    const block = this.#spare.pop() ?? this.#pool.takeBlock();
    this.#pooled.set(block.buffer, block);
    return block;
  }
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
