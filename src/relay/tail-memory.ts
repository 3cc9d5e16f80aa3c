import { type HeldPayload, joinPayloads } from './held-payload.ts';
import type { MemoryBudget, Reclaimable } from './memory-budget.ts';

interface RememberedTail {
  readonly segmentKeys: readonly string[];
  readonly payload: HeldPayload;
}

/**
 * The bytes of tails that this node has written, so that the request which takes a tail up again need not fetch it.
 * They are safe in S3: whenever anybody needs memory, the tail that was longest unused is dropped.
 */
export class TailMemory implements Reclaimable {
  readonly #budget: MemoryBudget;
  /** In the order of their last use. */
  readonly #tails = new Map<string, RememberedTail>();

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
    budget.remembered = this;
  }

  /** Uploads whose tail is remembered. */
  get size(): number {
    return this.#tails.size;
  }

  /**
   * A segment was stored and committed. Takes its payload over, as it is: the caller does not release it any more.
   *
   * @param segmentKey object key of the segment
   * @param payload the bytes of the segment, sealed
   * @param keysBefore the segments that the committed tail has in front of this one, in order. When they are not what
   *   is remembered, the new bytes would be of no use, and nothing is remembered
   */
  remember(uploadId: string, segmentKey: string, payload: HeldPayload, keysBefore: readonly string[]): void {
    const before = this.#tails.get(uploadId);
    const continues = before !== undefined && keysBefore.length > 0 && isSame(before.segmentKeys, keysBefore);
    if (!continues) this.forget(uploadId);
    if ((!continues && keysBefore.length > 0) || this.#budget.scarce || !payload.park()) {
      this.forget(uploadId);
      payload.release();
      return;
    }
    this.#tails.delete(uploadId);
    this.#tails.set(uploadId, {
      segmentKeys: [...keysBefore, segmentKey],
      payload: continues ? joinPayloads(before.payload, payload) : payload,
    });
  }

  /**
   * Gives a tail's bytes away, to be sent now: until the caller releases them nobody can reclaim their memory.
   *
   * @param segmentKeys of the tail as the catalog's row has it, in order
   * @returns null when exactly these are not remembered
   */
  take(uploadId: string, segmentKeys: readonly string[]): HeldPayload | null {
    const tail = this.#tails.get(uploadId);
    if (tail === undefined) return null;
    if (!isSame(tail.segmentKeys, segmentKeys)) {
      this.forget(uploadId);
      return null;
    }
    this.#tails.delete(uploadId);
    tail.payload.unpark();
    return tail.payload;
  }

  /** The upload ended, or somebody else writes it. */
  forget(uploadId: string): void {
    const tail = this.#tails.get(uploadId);
    if (tail === undefined) return;
    this.#tails.delete(uploadId);
    tail.payload.release();
  }

  reclaim(): boolean {
    for (const uploadId of this.#tails.keys()) {
      this.forget(uploadId);
      return true;
    }
    return false;
  }
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((key, i) => key === others[i]);
}
