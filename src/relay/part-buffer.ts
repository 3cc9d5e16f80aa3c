import { ChunkList, firstBytes, LARGEST_BLOCK_BYTES, totalBytes } from './chunk-list.ts';
import type { HeldPayload } from './held-payload.ts';
import type { BudgetedBuffer, MemoryBudget } from './memory-budget.ts';
import { readPieces, type SpillFile } from './spill-store.ts';
import { MIN_SPILL_BYTES, SPILLED_HELD_BYTES } from './spill-victims.ts';

/** What a spilled buffer holds in blocks: one that is filled, one that is being written. */
const SPILLED_BLOCKS = SPILLED_HELD_BYTES / LARGEST_BLOCK_BYTES;
/** On their way into the file, at most. With the open block it makes up SPILLED_HELD_BYTES. */
const WINDOW_BYTES = SPILLED_HELD_BYTES - LARGEST_BLOCK_BYTES;
/** Fewer bytes wait for more: a slow client's chunks would each be a call to the file system. */
const WORTH_WRITING_BYTES = WINDOW_BYTES / 2;

/** A buffer was sealed or released while a chunk waited for room in it: the chunk is not in it. */
export class BufferClosedError extends Error {
  override readonly name = 'BufferClosedError';
}

type Phase = 'memory' | 'spilling' | 'file' | 'sealed' | 'released';

interface Waiter {
  /** null: the chunk is still to be read. */
  readonly chunk: Uint8Array | null;
  readonly resolve: (held: boolean) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * The bytes of one part (or of its beginning) while they arrive and until they are stored. It grows with them, so that
 * a slow client holds what it has sent and little more.
 *
 * Its bytes are a file's, if it ever spilled, and after them those in memory:
 * - memory: chunks are copied into blocks, each with a grant of the budget;
 * - spilling: what is in memory is being written; a new chunk waits for the end of it;
 * - file: chunks go through a small window into the file. When the disk is full it is back in `memory`, with its file;
 * - sealed: nothing is added any more; it is read, as often as need be;
 * - released: it holds nothing.
 */
export class PartBuffer implements HeldPayload, BudgetedBuffer {
  readonly expectedBytes: number;
  readonly openedAtMs: number;
  readonly #budget: MemoryBudget;
  readonly #onInterrupt: () => void;
  readonly #signal: AbortSignal | undefined;
  #phase: Phase = 'memory';
  /** Goes to a file as soon as it is worth it, pressure or not. */
  #eager: boolean;
  #flushWanted = false;
  #parked = false;
  readonly #memory: ChunkList;
  #bytes = 0;
  #heldBytes = 0;
  #lastProgress: number;
  #file: SpillFile | null = null;
  #fileBytes = 0;
  /** In phase `file`: memory of the chunks that are not written yet. */
  #windowBytes = 0;
  /** Set while something is being written; never rejects. */
  #writing: Promise<void> | null = null;
  #waiting: Waiter | null = null;
  #wantedBytes: number | null = 0;

  /**
   * @param expectedBytes what it will hold when it is full: the rest of the part, or of the upload when that is less.
   *   More than a quarter of the memory goes to a file
   * @param onInterrupt its owner, who is not waiting here, is to read nothing any more from this moment on, to look
   *   whether {@link flushWanted} is set (then it stores what this holds and releases it), else whether it is
   *   {@link readyToRead}
   * @param signal who waits here gives up when it aborts
   */
  constructor(budget: MemoryBudget, expectedBytes: number, onInterrupt: () => void, signal?: AbortSignal) {
    this.expectedBytes = expectedBytes;
    this.openedAtMs = budget.nowMs;
    this.#budget = budget;
    this.#memory = new ChunkList(budget);
    this.#onInterrupt = onInterrupt;
    this.#signal = signal;
    this.#eager = budget.alwaysSpills(expectedBytes);
    this.#lastProgress = budget.progress;
    budget.addFilling(this);
  }

  get bytes(): number {
    return this.#bytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  get lastProgress(): number {
    return this.#lastProgress;
  }

  get wantedBytes(): number | null {
    return this.#wantedBytes;
  }

  get spillable(): boolean {
    return this.#phase === 'memory' && !this.#flushWanted;
  }

  get flushWanted(): boolean {
    return this.#flushWanted;
  }

  get inMemory(): boolean {
    return this.#fileBytes === 0;
  }

  /**
   * Is there room for what one read from the connection may bring? To be asked right before each read, so that no chunk
   * has to wait in {@link append}; not while a call of that is under way.
   *
   * @returns true until {@link append}, or until the owner is interrupted. A promise: ask again after it, unless a
   *   flush is wanted
   * @throws as {@link append}
   */
  readyToRead(): true | Promise<unknown> {
    this.#assertOpen();
    if (this.#flushWanted) return Promise.resolve();
    if (this.#phase === 'memory') {
      if (this.#budget.mayRead(this)) return true;
    } else if (this.#phase === 'file' && this.#fitsWindow(LARGEST_BLOCK_BYTES)) return true;
    const ready = this.#wait(null);
    // Unless it was given up at once.
    if (this.#waiting !== null) {
      if (this.#phase === 'memory') this.#queueUp(null);
      else this.#startWriting();
    }
    return ready;
  }

  #assertOpen(): void {
    if (this.#phase === 'sealed' || this.#phase === 'released') throw new BufferClosedError(`it is ${this.#phase}`);
    if (this.#waiting !== null) throw new Error('another chunk is still waiting');
  }

  /**
   * For the rest of a chunk that has ended the part before this one.
   *
   * @returns false: there is no room for it at this moment, and nothing was done
   */
  appendNow(chunk: Uint8Array): boolean {
    this.#assertOpen();
    if (this.#phase !== 'memory' || this.#flushWanted) return false;
    const charge = this.#chargeFor(chunk);
    if (charge > 0 && !this.#budget.takeNow(charge)) return false;
    this.#keep(chunk, charge);
    return true;
  }

  /**
   * Copies a chunk; only one call at a time. While it waits the chunk stays as it is, and is counted nowhere.
   *
   * @returns true: it is held, and the caller's memory is its own again. false: it is not, nor any of it: the caller
   *   stores what this buffer holds, releases it, and gives the chunk to a fresh one. It is a promise only when there
   *   is something to wait for
   * @throws the reason of the signal, or BufferClosedError, when the wait was given up (by rejecting); the chunk may
   *   then still be on its way into a file
   */
  append(chunk: Uint8Array): true | Promise<boolean> {
    this.#assertOpen();
    if (chunk.length === 0) return true;
    if (this.#flushWanted) return Promise.resolve(false);
    if (this.#phase === 'file') return this.#appendToFile(chunk);
    if (this.#phase === 'spilling') return this.#wait(chunk);
    if (this.#keepIfRoom(chunk)) return true;
    const held = this.#wait(chunk);
    // Unless it was given up at once.
    if (this.#waiting !== null) this.#queueUp(chunk);
    return held;
  }

  #keepIfRoom(chunk: Uint8Array): boolean {
    const charge = this.#chargeFor(chunk);
    if (charge > 0 && !this.#budget.take(charge, this)) return false;
    this.#keep(chunk, charge);
    return true;
  }

  #queueUp(chunk: Uint8Array | null): void {
    this.#wantedBytes = chunk === null ? null : this.#chargeFor(chunk);
    this.#budget.wait(this);
  }

  #chargeFor(chunk: Uint8Array): number {
    const charge = this.#memory.chargeFor(chunk.length);
    if (charge > this.#budget.largestGrantBytes) {
      throw new RangeError(`a chunk of ${charge} bytes is more than the memory budget`);
    }
    return charge;
  }

  /** Takes a chunk in whose memory has been granted. */
  #keep(chunk: Uint8Array, charge: number): void {
    this.#memory.add(chunk);
    this.#bytes += chunk.length;
    this.#heldBytes += charge;
    this.#lastProgress = this.#budget.progress;
    if (this.#eager && this.#heldBytes >= MIN_SPILL_BYTES && this.#phase === 'memory') this.#budget.startSpill(this);
  }

  #wait(chunk: Uint8Array | null): Promise<boolean> {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const signal = this.#signal;
    if (signal === undefined) {
      this.#waiting = { chunk, resolve, reject };
      return promise;
    }
    const onAbort = () => this.#giveUpWaiting(signal.reason);
    this.#waiting = { chunk, resolve, reject };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    return promise.finally(() => signal.removeEventListener('abort', onAbort));
  }

  #endWait(held: boolean): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#wantedBytes = 0;
    waiting?.resolve(held);
  }

  #giveUpWaiting(reason: unknown): void {
    const waiting = this.#waiting;
    if (waiting === null) return;
    this.#budget.stopWaiting(this);
    this.#waiting = null;
    this.#wantedBytes = 0;
    waiting.reject(reason);
  }

  /** The budget: what it waits for is its own now. */
  granted(): void {
    if (this.#waiting === null) throw new Error('granted memory that it did not wait for');
    const { chunk } = this.#waiting;
    if (chunk !== null) this.#keep(chunk, this.#wantedBytes ?? 0);
    this.#endWait(true);
  }

  /** The budget: there is no room any more for what a read may bring. */
  stopReading(): void {
    if (this.#waiting === null) this.#onInterrupt();
  }

  /** The budget: its owner is to store and release it. */
  wantFlush(): void {
    this.#flushWanted = true;
    this.#budget.stopWaiting(this);
    if (this.#waiting !== null) this.#endWait(false);
    else this.#onInterrupt();
  }

  /** The budget: moves what is in memory into the file. Never rejects. */
  spill(): Promise<void> {
    this.#phase = 'spilling';
    // A chunk that waits here goes into the file next.
    this.#budget.stopWaiting(this);
    this.#memory.cut();
    this.#writing = this.#moveToFile(this.#memory.chunks);
    return this.#writing;
  }

  async #moveToFile(chunks: readonly Uint8Array[]): Promise<void> {
    const chunkCount = chunks.length;
    const bytes = totalBytes(chunks);
    try {
      const file = await this.#openFile();
      if (this.#isPhase('spilling')) await file.write(chunks, bytes, this.#fileBytes);
    } catch (error) {
      this.#writing = null;
      this.#spillFailed(error);
      return;
    }
    this.#writing = null;
    // Sealed meanwhile: it is about to be sent, from memory, and gives that back soon.
    if (!this.#isPhase('spilling')) return;
    this.#memory.dropFirst(chunkCount);
    this.#fileBytes += bytes;
    this.#windowBytes = 0;
    this.#phase = 'file';
    const freed = this.#heldBytes - SPILLED_HELD_BYTES;
    this.#heldBytes = SPILLED_HELD_BYTES;
    this.#budget.give(freed, this.#memory.giveSpare(SPILLED_BLOCKS));
    if (this.#waiting?.chunk === null) this.#endWait(true);
    else if (this.#waiting !== null) this.#startWriting();
  }

  async #openFile(): Promise<SpillFile> {
    this.#file ??= await this.#budget.spillStore.create();
    return this.#file;
  }

  #appendToFile(chunk: Uint8Array): true | Promise<boolean> {
    if (!this.#fitsWindow(chunk.length)) {
      const held = this.#wait(chunk);
      this.#startWriting();
      return held;
    }
    this.#windowBytes += this.#memory.add(chunk);
    this.#bytes += chunk.length;
    this.#lastProgress = this.#budget.progress;
    this.#startWriting();
    return true;
  }

  #fitsWindow(bytes: number): boolean {
    return this.#windowBytes + this.#memory.chargeFor(bytes) <= WINDOW_BYTES;
  }

  #startWriting(): void {
    if (this.#writing === null && this.#isWorthWriting()) this.#writing = this.#writeWindow();
  }

  #isWorthWriting(): boolean {
    return this.#waiting !== null || this.#windowBytes >= WORTH_WRITING_BYTES;
  }

  /**
   * Writes as long as it is worth it. The waiting chunk goes along, so that a large one needs no window. What is left
   * in the end stays in memory.
   */
  async #writeWindow(): Promise<void> {
    while (this.#phase === 'file' && this.#isWorthWriting()) {
      const waiting = this.#waiting;
      if (waiting?.chunk === null && this.#fitsWindow(LARGEST_BLOCK_BYTES)) {
        this.#endWait(true);
        continue;
      }
      const more = waiting?.chunk ?? null;
      if (more !== null) this.#windowBytes += this.#memory.cut();
      const { chunks } = this.#memory;
      const chunkCount = chunks.length;
      const windowBytes = this.#windowBytes;
      const bytes = totalBytes(chunks);
      const batch = more === null ? [...chunks] : [...chunks, more];
      try {
        await (this.#file as SpillFile).write(batch, bytes + (more?.length ?? 0), this.#fileBytes);
      } catch (error) {
        this.#writing = null;
        this.#spillFailed(error);
        return;
      }
      if (this.#isPhase('released')) break;
      this.#memory.dropFirst(chunkCount);
      this.#windowBytes -= windowBytes;
      this.#fileBytes += bytes;
      // Given up meanwhile: then its bytes lie behind the end of ours, and are written over.
      if (waiting === null || waiting !== this.#waiting) continue;
      if (more !== null) {
        this.#fileBytes += more.length;
        this.#bytes += more.length;
        this.#lastProgress = this.#budget.progress;
      }
      this.#endWait(true);
    }
    this.#writing = null;
  }

  /** Nothing is lost: what was to be written is still in memory. */
  #spillFailed(error: unknown): void {
    this.#budget.spillStore.failed(error);
    if (this.#phase !== 'spilling' && this.#phase !== 'file') return;
    const wasFile = this.#phase === 'file';
    this.#phase = 'memory';
    this.#eager = false;
    const waiting = this.#waiting;
    if (waiting === null) {
      // It reads because there was room in the window.
      if (wasFile) this.#onInterrupt();
      return;
    }
    // Who wants to read asks again.
    if (waiting.chunk === null || this.#keepIfRoom(waiting.chunk)) this.#endWait(true);
    else this.#queueUp(waiting.chunk);
  }

  /** No more chunks: it is about to be sent to S3, and to be released soon. A chunk that waits is turned away. */
  seal(): void {
    if (this.#phase === 'sealed') return;
    if (this.#phase === 'released') throw new BufferClosedError('it is released');
    this.#leaveBudgetsCare('it was sealed');
    this.#memory.cut();
    this.#phase = 'sealed';
    this.#budget.addInFlight(this.#heldBytes);
  }

  #leaveBudgetsCare(reason: string): void {
    if (this.#waiting !== null) this.#giveUpWaiting(new BufferClosedError(reason));
    this.#budget.removeFilling(this);
  }

  /** What is sent to S3, and sent again in a retry: plain chunks when all is in memory. Only when sealed. */
  read(): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
    if (this.#phase !== 'sealed') throw new Error(`read while ${this.#phase}`);
    return this.#fileBytes === 0 ? this.#memory.chunks : this.#readFileAndMemory();
  }

  async *#readFileAndMemory(): AsyncGenerator<Uint8Array> {
    await this.#writing;
    // One for each reading: the file may still be read for an attempt that was given up.
    const block = this.#memory.borrowBlock();
    try {
      yield* readPieces(this.#file as SpillFile, this.#fileBytes, block);
    } finally {
      if (this.#isPhase('sealed')) this.#memory.returnBlock(block);
    }
    yield* this.#memory.chunks;
  }

  head(count: number): Uint8Array | Promise<Uint8Array> {
    return firstBytes(this.read(), count);
  }

  park(): boolean {
    if (this.#phase !== 'sealed' || this.#fileBytes > 0 || this.#writing !== null || this.#parked) return false;
    this.#parked = true;
    this.#budget.addInFlight(-this.#heldBytes);
    return true;
  }

  unpark(): void {
    if (!this.#parked) return;
    this.#parked = false;
    this.#budget.addInFlight(this.#heldBytes);
  }

  release(): void {
    if (this.#phase === 'released') return;
    this.unpark();
    if (this.#phase !== 'sealed') {
      this.#leaveBudgetsCare('it was released');
      this.#budget.addInFlight(this.#heldBytes);
    }
    this.#phase = 'released';
    // What is being written is still in use.
    if (this.#writing === null) this.#free();
    else void this.#writing.then(() => this.#free());
  }

  #free(): void {
    const held = this.#heldBytes;
    this.#heldBytes = 0;
    this.#file?.close();
    this.#file = null;
    this.#budget.addInFlight(-held);
    this.#budget.give(held, this.#memory.clear());
  }

  /** For after an await: what the compiler believes to know about the phase is old by then. */
  #isPhase(phase: Phase): boolean {
    return this.#phase === phase;
  }
}
