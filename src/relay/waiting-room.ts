import { LARGEST_BLOCK_BYTES } from './chunk-list.ts';
import type { SpillFile, SpillStore } from './spill-store.ts';

/** One read from a connection fits. */
const SLOT_BYTES = LARGEST_BLOCK_BYTES;

/** Bytes that wait in the file. */
export interface WaitingSlot {
  /** Frees it, too. */
  read(): Promise<Buffer>;
  free(): void;
}

/**
 * Where the beginnings of bodies wait that came along with their headers (see `EarlyBytes`): in memory as long as they
 * are few, else in one file for all, which is given up whenever nothing is left in it. With the disk full they stay in
 * memory, and there are at most 64 KiB for each open connection.
 */
export class WaitingRoom {
  readonly #memoryBytes: number;
  readonly #spillStore: SpillStore;
  #bytes = 0;
  #file: Promise<SpillFile> | null = null;
  #slots = 0;
  #freeSlots: number[] = [];
  /** They are read back one after the other, so that only one of them is in memory without being counted. */
  #reading: Promise<unknown> = Promise.resolve();

  /** @param memoryBytes more than this is not to wait in memory */
  constructor(memoryBytes: number, spillStore: SpillStore) {
    this.#memoryBytes = memoryBytes;
    this.#spillStore = spillStore;
  }

  /** In memory now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @returns whether they had better go to the file */
  entered(bytes: number): boolean {
    this.#bytes += bytes;
    return this.#bytes > this.#memoryBytes && bytes <= SLOT_BYTES;
  }

  left(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** @returns null: they could not be written */
  async write(chunk: Buffer): Promise<WaitingSlot | null> {
    const slot = this.#freeSlots.pop() ?? this.#slots++;
    this.#file ??= this.#spillStore.create(1);
    const opened = this.#file;
    try {
      const file = await opened;
      await file.write([chunk], chunk.length, slot * SLOT_BYTES);
      return this.#slotOf(file, slot, chunk.length);
    } catch (error) {
      this.#spillStore.failed(error);
      this.#free(slot);
      return null;
    }
  }

  #slotOf(file: SpillFile, slot: number, bytes: number): WaitingSlot {
    const free = () => this.#free(slot);
    const read = async () => {
      try {
        const chunk = Buffer.allocUnsafeSlow(bytes);
        await file.read(chunk, slot * SLOT_BYTES);
        return chunk;
      } finally {
        free();
      }
    };
    return {
      free,
      read: () => {
        const chunk = this.#reading.then(read);
        this.#reading = chunk.catch(() => {});
        return chunk;
      },
    };
  }

  #free(slot: number): void {
    this.#freeSlots.push(slot);
    if (this.#freeSlots.length < this.#slots) return;
    this.#freeSlots = [];
    this.#slots = 0;
    const file = this.#file;
    this.#file = null;
    // One that could not be opened has nothing to be closed.
    file?.then((it) => it.close()).catch(() => {});
  }
}
