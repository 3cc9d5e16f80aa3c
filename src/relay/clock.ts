/** Time and chance as the relay uses them: real ones in the server, given ones in tests. */
export interface Clock {
  /** In milliseconds; it never goes back, and counts the time that the machine slept: see {@link wakefulNow}. */
  now(): number;
  /** Rejects with the signal's reason when it aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls back once, after `ms`. @returns what calls it off */
  alarm(ms: number, ring: () => void): () => void;
  /** In [0, 1): jitter. */
  random(): number;
}

/** What the wall clock is ahead of the monotonic one grows by less than this while a machine is awake (NTP). */
const SLEPT_MS = 1_000;

/**
 * A clock for ages. The monotonic clock alone stands still while the machine is suspended: a writer that slept for an
 * hour would take its last look at the row for a fresh one. The wall clock alone can be set back, and would make it
 * fresher still. So: the monotonic time, and every leap that the wall clock makes ahead of it.
 */
export function wakefulNow(monotonicMs: () => number, wallMs: () => number): () => number {
  let aheadMs: number | null = null;
  let sleptMs = 0;
  return () => {
    const nowMs = monotonicMs();
    const nowAheadMs = wallMs() - nowMs;
    const leapMs = nowAheadMs - (aheadMs ?? nowAheadMs);
    aheadMs = nowAheadMs;
    if (leapMs >= SLEPT_MS) sleptMs += leapMs;
    return nowMs + sleptMs;
  };
}

export const systemClock: Clock = {
  now: wakefulNow(() => performance.now(), Date.now),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
  alarm: (ms, ring) => {
    const timer = setTimeout(ring, ms);
    return () => clearTimeout(timer);
  },
  random: Math.random,
};
