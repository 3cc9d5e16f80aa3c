import { firstBytes, LARGEST_BLOCK_BYTES } from './chunk-list.ts';
import { freeMemory } from './free-memory.ts';
import { type HeldPayload, JoinedPayload } from './held-payload.ts';
import type { MemoryBudget } from './memory-budget.ts';

/** What objects, keys and the allocator take for each, measured. Of many tiny ones it is most of what they are. */
const OVERHEAD_BYTES = 1024;

/**
 * For bytes that are to stay in memory for a while. A small buffer holds twice what is in it, to grow into, and three
 * times that in objects of its own; here small pieces become one piece of memory of exactly their size, and what it
 * takes besides is counted.
 *
 * @returns the payload as it is when its pieces are large, or not all in memory; else a copy, and the payload is
 *   released. null: there was no room for the copy, and the payload is released
 */
export function compactPayload(budget: MemoryBudget, payload: HeldPayload): HeldPayload | null {
  const pieces = payload instanceof JoinedPayload ? payload.pieces.length : 1;
  if (!payload.inMemory || payload.bytes >= pieces * LARGEST_BLOCK_BYTES) return payload;
  const copy = CompactPayload.copyOf(budget, payload);
  payload.release();
  return copy;
}

class CompactPayload implements HeldPayload {
  readonly bytes: number;
  readonly inMemory = true;
  readonly #budget: MemoryBudget;
  readonly #memory: Buffer;
  readonly #heldBytes: number;
  #phase: 'in use' | 'parked' | 'released' = 'in use';

  private constructor(budget: MemoryBudget, memory: Buffer, heldBytes: number) {
    this.bytes = memory.length;
    this.#budget = budget;
    this.#memory = memory;
    this.#heldBytes = heldBytes;
    budget.addInFlight(heldBytes);
  }

  static copyOf(budget: MemoryBudget, payload: HeldPayload): CompactPayload | null {
    const heldBytes = payload.bytes + OVERHEAD_BYTES;
    if (!budget.takeUnpooled(heldBytes)) return null;
    const memory = Buffer.allocUnsafeSlow(payload.bytes);
    let filled = 0;
    for (const chunk of payload.read() as Iterable<Uint8Array>) {
      memory.set(chunk, filled);
      filled += chunk.length;
    }
    return new CompactPayload(budget, memory, heldBytes);
  }

  read(): Iterable<Uint8Array> {
    if (this.#phase === 'released') throw new Error('read although it is released');
    return [this.#memory];
  }

  head(count: number): Uint8Array | Promise<Uint8Array> {
    return firstBytes(this.read(), count);
  }

  park(): boolean {
    if (this.#phase !== 'in use') return false;
    this.#phase = 'parked';
    this.#budget.addInFlight(-this.#heldBytes);
    return true;
  }

  unpark(): void {
    if (this.#phase !== 'parked') return;
    this.#phase = 'in use';
    this.#budget.addInFlight(this.#heldBytes);
  }

  release(): void {
    if (this.#phase === 'released') return;
    if (this.#phase === 'in use') this.#budget.addInFlight(-this.#heldBytes);
    this.#phase = 'released';
    freeMemory(this.#memory.buffer);
    this.#budget.give(this.#heldBytes);
  }
}
