/** Only these last moments count: what an upload did a minute ago says nothing about its network now. */
const WINDOW_MS = 10_000;
/** Less is a guess: the first bytes only fill the buffers between the page and the network. */
const LEAST_MS = 2_000;
/** Silent for so long, an upload has no speed. */
export const SILENT_MS = 4_000;

/**
 * How fast something advances: bytes over the last {@link WINDOW_MS}, of one stretch without a break. Every time is in
 * milliseconds of a clock that never goes back (`performance.now()`).
 */
export class SpeedEstimator {
  #samples: { atMs: number; bytes: number }[] = [];

  /** What the last sample said; null after a break. */
  get bytesSeen(): number | null {
    return this.#samples.at(-1)?.bytes ?? null;
  }

  /** @param bytes done in all; less than before means that something began anew, and so does the estimate */
  add(atMs: number, bytes: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && bytes < last.bytes) this.reset();
    if (bytes === last?.bytes) return;
    this.#samples.push({ atMs, bytes });
    this.#forget(atMs);
  }

  /** A break: what was measured before it is no measure for what comes after. */
  reset(): void {
    this.#samples = [];
  }

  /** @returns bytes per second; null before there are two seconds to tell from, and while nothing moves */
  bytesPerSec(nowMs: number): number | null {
    this.#forget(nowMs);
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined || nowMs - last.atMs >= SILENT_MS) return null;
    const spanMs = nowMs - first.atMs;
    const bytes = last.bytes - first.bytes;
    return spanMs < LEAST_MS || bytes <= 0 ? null : (bytes / spanMs) * 1000;
  }

  /** The last sample before the window stays: it is where the window begins. */
  #forget(nowMs: number): void {
    const kept = this.#samples.findLastIndex((sample) => sample.atMs <= nowMs - WINDOW_MS);
    if (kept > 0) this.#samples.splice(0, kept);
  }
}
