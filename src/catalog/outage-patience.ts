import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseUnavailableError } from './database-errors.ts';

const TRY_AGAIN_MS = 250;

/**
 * A database that restarts is back in a moment: who wants a connection meanwhile waits for it. Nothing has been sent
 * then, so that trying again can do nothing twice.
 *
 * What may be waited is counted from when the database went away, not by each statement: in a long outage a request of
 * several statements fails once, not after one wait after the other.
 */
export class OutagePatience {
  readonly #waitMs: number;
  readonly #onChange: (problem: DatabaseUnavailableError | null) => void;
  #begun = false;
  #awaySinceMs: number | null = null;
  #lastFailureMs = 0;

  /**
   * @param waitMs how long an outage is waited for
   * @param onChange called when the database goes away, and with null when it is back
   */
  constructor(waitMs: number, onChange: (problem: DatabaseUnavailableError | null) => void = () => {}) {
    this.#waitMs = waitMs;
    this.#onChange = onChange;
  }

  /** Until then nothing is waited for: whoever starts has a patience of its own. */
  begin(): void {
    this.#begun = true;
  }

  /** Nobody waits any more. */
  end(): void {
    this.#begun = false;
  }

  /** @throws the last error of `connect`: at once when it is none of an outage, else when the time is over */
  async connect<T>(connect: () => Promise<T>): Promise<T> {
    const askedMs = performance.now();
    for (;;) {
      try {
        const connected = await connect();
        if (this.#awaySinceMs !== null) this.#onChange(null);
        this.#awaySinceMs = null;
        return connected;
      } catch (error) {
        if (!(error instanceof DatabaseUnavailableError)) throw error;
        // A connection that waited long enough in the pool's queue has waited long enough.
        if (this.#begun && this.#awaySinceMs === null) this.#onChange(error);
        const sinceMs = Math.min(askedMs, this.#noteFailure());
        const jitteredMs = TRY_AGAIN_MS * (0.5 + Math.random());
        if (!this.#begun || performance.now() + jitteredMs >= sinceMs + this.#waitMs) throw error;
        await sleep(jitteredMs);
      }
    }
  }

  /** @returns since when it is away */
  #noteFailure(): number {
    const nowMs = performance.now();
    // Nobody may have asked for long, neither when it was back.
    if (this.#awaySinceMs === null || nowMs - this.#lastFailureMs > this.#waitMs) this.#awaySinceMs = nowMs;
    this.#lastFailureMs = nowMs;
    return this.#awaySinceMs;
  }
}
