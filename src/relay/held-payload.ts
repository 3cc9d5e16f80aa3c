import type { Payload } from '../s3/object-storage.ts';

/** Bytes that wait in memory of the budget, or in a spill file, until somebody lets go of them. */
export interface HeldPayload extends Payload {
  /** All of it is in memory, so that `read` gives plain chunks and never waits for a disk. */
  readonly inMemory: boolean;
  /** Real memory that it holds of the budget: whole blocks, not only what is used of them. */
  readonly heldBytes: number;
  /** The first bytes, at most `count`, for telling the content's type. */
  head(count: number): Uint8Array | Promise<Uint8Array>;
  /** From now on the memory may be taken back whenever somebody needs it: see TailMemory. @returns false when it cannot */
  park(): boolean;
  /** Takes a parked payload into use again. */
  unpark(): void;
  /** Gives memory and file back; the second time it does nothing. Nobody may be reading any more. */
  release(): void;
}

/** One payload after the other, as one. Its release releases both. */
export function joinPayloads(first: HeldPayload, second: HeldPayload): HeldPayload {
  return new JoinedPayload(first, second);
}

class JoinedPayload implements HeldPayload {
  readonly #first: HeldPayload;
  readonly #second: HeldPayload;

  constructor(first: HeldPayload, second: HeldPayload) {
    this.#first = first;
    this.#second = second;
  }

  get bytes(): number {
    return this.#first.bytes + this.#second.bytes;
  }

  get inMemory(): boolean {
    return this.#first.inMemory && this.#second.inMemory;
  }

  get heldBytes(): number {
    return this.#first.heldBytes + this.#second.heldBytes;
  }

  read(): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
    const first = this.#first.read();
    const second = this.#second.read();
    if (Symbol.iterator in first && Symbol.iterator in second) return [...first, ...second];
    return oneAfterTheOther(first, second);
  }

  head(count: number): Uint8Array | Promise<Uint8Array> {
    const first = this.#first.head(count);
    const second = this.#second.head(Math.max(0, count - this.#first.bytes));
    if (first instanceof Uint8Array && second instanceof Uint8Array) return Buffer.concat([first, second]);
    return Promise.all([first, second]).then((heads) => Buffer.concat(heads));
  }

  park(): boolean {
    if (!this.#first.park()) return false;
    if (this.#second.park()) return true;
    this.#first.unpark();
    return false;
  }

  unpark(): void {
    this.#first.unpark();
    this.#second.unpark();
  }

  release(): void {
    this.#first.release();
    this.#second.release();
  }
}

async function* oneAfterTheOther(
  first: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  second: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield* first;
  yield* second;
}
