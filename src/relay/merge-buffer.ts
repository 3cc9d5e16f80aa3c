import type { HeldPayload } from './held-payload.ts';
import type { MemoryBudget, MergeGrant } from './memory-budget.ts';
import { readPieces, type SpillFile, SpillSpaceError } from './spill-store.ts';

/** Read from the file at once. */
const PIECE_BYTES = 64 * 1024;

/**
 * The bytes of a stored tail that is loaded to be merged with what follows it. Their number is known beforehand, so
 * its memory is taken at once, from the budget or its reserve; a tail that is too large for both goes to a file.
 */
export class MergeBuffer implements HeldPayload {
  readonly #grant: MergeGrant;
  readonly #memory: Buffer | null;
  readonly #file: SpillFile | null;
  #bytes = 0;
  #writing: Promise<void> = Promise.resolve();
  #released = false;

  private constructor(grant: MergeGrant, memory: Buffer | null, file: SpillFile | null) {
    this.#grant = grant;
    this.#memory = memory;
    this.#file = file;
  }

  /**
   * @param totalBytes exactly what will be appended
   * @param signal ends the wait for memory, which another merge may be using
   * @throws SpillSpaceError when it needs a file and there can be none; the reason of the signal
   */
  static async open(budget: MemoryBudget, totalBytes: number, signal?: AbortSignal): Promise<MergeBuffer> {
    const inMemory = budget.alwaysSpills(totalBytes)
      ? null
      : await MergeBuffer.openInMemory(budget, totalBytes, signal);
    if (inMemory !== null) return inMemory;
    const pieceOnly = await budget.takeForMerge(PIECE_BYTES, signal);
    if (pieceOnly === null) throw new Error('the reserve is smaller than one piece');
    try {
      return new MergeBuffer(pieceOnly, null, await budget.spillStore.create());
    } catch (error) {
      pieceOnly.release();
      throw spillSpaceError(error);
    }
  }

  /**
   * For when there can be no file.
   *
   * @returns null when there is not so much memory either
   */
  static async openInMemory(
    budget: MemoryBudget,
    totalBytes: number,
    signal?: AbortSignal,
  ): Promise<MergeBuffer | null> {
    const grant = await budget.takeForMerge(totalBytes, signal);
    return grant === null ? null : new MergeBuffer(grant, Buffer.allocUnsafeSlow(totalBytes), null);
  }

  get bytes(): number {
    return this.#bytes;
  }

  get inMemory(): boolean {
    return this.#memory !== null;
  }

  /** Copies the chunk. One at a time. @throws SpillSpaceError; the buffer is then of no more use */
  async append(chunk: Uint8Array): Promise<void> {
    if (this.#memory !== null) {
      if (this.#bytes + chunk.length > this.#memory.length) throw new RangeError('more bytes than were promised');
      this.#memory.set(chunk, this.#bytes);
    } else {
      const writing = (this.#file as SpillFile).write([chunk], chunk.length, this.#bytes);
      this.#writing = writing.catch(() => {});
      try {
        await writing;
      } catch (error) {
        throw spillSpaceError(error);
      }
    }
    this.#bytes += chunk.length;
  }

  read(): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
    return this.#memory !== null
      ? [this.#memory.subarray(0, this.#bytes)]
      : readPieces(this.#file as SpillFile, this.#bytes, Buffer.allocUnsafeSlow(PIECE_BYTES));
  }

  head(count: number): Uint8Array | Promise<Uint8Array> {
    const bytes = Math.min(count, this.#bytes);
    if (this.#memory !== null) return this.#memory.subarray(0, bytes);
    const piece = Buffer.allocUnsafeSlow(bytes);
    return (this.#file as SpillFile).read(piece, 0).then(() => piece);
  }

  /** Its memory may be the reserve's, which is not there for keeping. */
  park(): boolean {
    return false;
  }

  unpark(): void {}

  release(): void {
    if (this.#released) return;
    this.#released = true;
    // Memory that is being written is the caller's chunk; the piece is granted until nobody uses it.
    void this.#writing.then(() => {
      this.#file?.close();
      this.#grant.release();
    });
  }
}

function spillSpaceError(cause: unknown): SpillSpaceError {
  return new SpillSpaceError('a tail that is larger than the reserve of memory could not be written to a file', {
    cause,
  });
}
