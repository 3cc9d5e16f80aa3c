/** Who makes room when the memory is spent: pure decisions, so that they can be read and tested by themselves. */

/** A buffer that is still being filled, as far as these decisions look at it. */
export interface FillingBuffer {
  /** Real memory that it holds. */
  readonly heldBytes: number;
  /** Bytes that have arrived. */
  readonly bytes: number;
  /** Bytes it will have when it is full. */
  readonly expectedBytes: number;
  /** On the budget's clock, in milliseconds. */
  readonly openedAtMs: number;
  /** Grows with every chunk that any buffer of the process takes in: the smallest has waited longest. */
  readonly lastProgress: number;
  /** Not spilled, not about to be, not asked to be flushed. */
  readonly spillable: boolean;
  /** Its owner was asked to store what it holds and to release it. */
  readonly flushWanted: boolean;
}

/** What a spilled buffer still holds: chunks on their way into the file, or one piece being read, and a gather block. */
export const SPILLED_HELD_BYTES = (64 + 64) * 1024;

/** Below this a buffer stays in memory: spilling it would free less than it costs. */
export const MIN_SPILL_BYTES = 2 * SPILLED_HELD_BYTES;

/** Flushing less than this costs a request to S3 and helps nobody, as long as somebody holds more. */
const WORTH_FLUSHING_BYTES = 16 * 1024;

/**
 * The buffer that will be needed last: the one whose missing bytes will take longest at the rate at which it has been
 * filling. So a fast upload beside many slow ones stays in memory.
 *
 * @returns null when no buffer holds enough to be worth it
 */
export function chooseSpillVictim<T extends FillingBuffer>(buffers: Iterable<T>, nowMs: number): T | null {
  let victim: T | null = null;
  let longestMs = -1;
  for (const buffer of buffers) {
    if (!buffer.spillable || buffer.heldBytes < MIN_SPILL_BYTES) continue;
    const fillMs = msUntilFull(buffer, nowMs);
    // Among equals the one that frees most.
    if (fillMs > longestMs || (fillMs === longestMs && victim !== null && buffer.heldBytes > victim.heldBytes)) {
      victim = buffer;
      longestMs = fillMs;
    }
  }
  return victim;
}

/**
 * The buffer that has gone longest without progress, of those that are worth a request to S3.
 *
 * @returns null when nobody holds anything that is not being flushed already
 */
export function chooseFlushVictim<T extends FillingBuffer>(buffers: Iterable<T>): T | null {
  let idle: T | null = null;
  let idleWorthIt: T | null = null;
  for (const buffer of buffers) {
    if (buffer.flushWanted || buffer.heldBytes === 0) continue;
    if (idle === null || buffer.lastProgress < idle.lastProgress) idle = buffer;
    if (buffer.heldBytes < WORTH_FLUSHING_BYTES) continue;
    if (idleWorthIt === null || buffer.lastProgress < idleWorthIt.lastProgress) idleWorthIt = buffer;
  }
  return idleWorthIt ?? idle;
}

function msUntilFull(buffer: FillingBuffer, nowMs: number): number {
  const ageMs = Math.max(1, nowMs - buffer.openedAtMs);
  const missing = Math.max(0, buffer.expectedBytes - buffer.bytes);
  return (missing * ageMs) / Math.max(1, buffer.bytes);
}
