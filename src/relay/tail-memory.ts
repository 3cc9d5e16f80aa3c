import { compactPayload } from './compact-payload.ts';
import type { HeldPayload } from './held-payload.ts';
import type { MemoryBudget, Reclaimable } from './memory-budget.ts';

/**
 * The bytes of tails' segments that this node has written, so that the request which takes them up again need not fetch
 * them. They are safe in S3: whenever anybody needs memory, what was longest unused is dropped.
 *
 * A segment's key is never used for other bytes, by anybody, so each segment is remembered for itself, whatever other
 * nodes have done to the rest of the tail. What is used is what the catalog's row names.
 */
export class TailMemory implements Reclaimable {
  readonly #budget: MemoryBudget;
  /** Uploads in the order of their last use; of each the segments, by their keys, oldest first. */
  readonly #tails = new Map<string, Map<string, HeldPayload>>();

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
    budget.remembered = this;
  }

  /** Uploads of whose tail something is remembered. */
  get size(): number {
    return this.#tails.size;
  }

  /**
   * A segment was stored and committed. Takes its payload over, as it is: the caller does not release it any more.
   *
   * @param segmentKeys of the committed tail: what else was remembered is of no use any more. The last is the segment
   * @param payload the bytes of the segment, sealed
   */
  remember(uploadId: string, segmentKeys: readonly string[], payload: HeldPayload): void {
    const segmentKey = segmentKeys.at(-1) as string;
    const segments = this.#tails.get(uploadId) ?? new Map<string, HeldPayload>();
    this.#tails.delete(uploadId);
    const current = new Set(segmentKeys);
    for (const [key, old] of segments) if (!current.has(key)) this.#drop(segments, key, old);
    if (segments.size > 0) this.#tails.set(uploadId, segments);
    const kept = this.#budget.scarce ? null : compactPayload(this.#budget, payload);
    if (!kept?.park()) {
      (kept ?? payload).release();
      return;
    }
    segments.set(segmentKey, kept);
    this.#tails.set(uploadId, segments);
  }

  /**
   * Gives away what is remembered of these segments, to be sent now: until the caller releases it nobody can reclaim
   * its memory.
   *
   * @param segmentKeys as the catalog's row has them
   * @returns for each its bytes; null: not remembered
   */
  take(uploadId: string, segmentKeys: readonly string[]): (HeldPayload | null)[] {
    const segments = this.#tails.get(uploadId);
    return segmentKeys.map((key) => {
      const payload = segments?.get(key);
      if (segments === undefined || payload === undefined) return null;
      segments.delete(key);
      if (segments.size === 0) this.#tails.delete(uploadId);
      payload.unpark();
      return payload;
    });
  }

  /** The upload ended, or nothing of its tail is left. */
  forget(uploadId: string): void {
    const segments = this.#tails.get(uploadId);
    this.#tails.delete(uploadId);
    for (const payload of segments?.values() ?? []) payload.release();
  }

  /** The oldest segment of the tail that was longest unused: of a tail, the newest are merged first. */
  reclaim(): boolean {
    for (const [uploadId, segments] of this.#tails) {
      for (const [key, payload] of segments) {
        this.#drop(segments, key, payload);
        if (segments.size === 0) this.#tails.delete(uploadId);
        return true;
      }
    }
    return false;
  }

  #drop(segments: Map<string, HeldPayload>, segmentKey: string, payload: HeldPayload): void {
    segments.delete(segmentKey);
    payload.release();
  }
}
