import type { IncomingHttpHeaders } from 'node:http';

/** S3 accepts signatures whose date is off by up to this. */
export const ACCEPTED_SKEW_MS = 15 * 60_000;
/** The Date header names the second. */
const SECOND_MS = 999;

/**
 * The time that signatures are dated with: this machine's, corrected by what S3 says in its answers.
 *
 * By a clock that is right the Date of an answer lies between the sending of the request and the coming of the answer;
 * only as far as it does not is there something to correct, so that neither a slow answer nor one that was read late
 * (the process stood still) misleads. It is corrected at once and as a whole: a signature that is dated wrong is refused,
 * and there is nothing that needs the time to be even.
 */
export class SigningClock {
  readonly #wallMs: () => number;
  #offsetMs = 0;

  constructor(wallMs = Date.now) {
    this.#wallMs = wallMs;
  }

  /** What S3's clock is ahead of this machine's. */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  date(): Date {
    return new Date(this.#wallMs() + this.#offsetMs);
  }

  /** @param sentMs by this machine's wall clock, when the request was handed to the connection or earlier */
  hear(statusCode: number, headers: IncomingHttpHeaders, sentMs: number): void {
    const saidMs = readHttpDate(headers.date);
    const receivedMs = this.#wallMs();
    // A cache tells of another time; and a wall clock that was set back meanwhile is right or wrong at the next answer.
    if (saidMs === null || headers.age !== undefined || receivedMs < sentMs) return;
    const tooEarlyMs = sentMs + this.#offsetMs - (saidMs + SECOND_MS);
    const tooLateMs = saidMs - (receivedMs + this.#offsetMs);
    const correctionMs = tooLateMs > 0 ? tooLateMs : Math.min(0, -tooEarlyMs);
    // By S3's own clock it would have refused a signature that is farther off: somebody else dated this answer.
    const isRefusal = statusCode === 403 || statusCode === 400;
    if (Math.abs(correctionMs) > ACCEPTED_SKEW_MS && !isRefusal) return;
    this.#offsetMs += correctionMs;
  }
}

/** What HTTP demands, and nothing of all else that `Date.parse` makes a date of. */
function readHttpDate(text: string | undefined): number | null {
  if (text === undefined || !/^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(text)) return null;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : ms;
}
