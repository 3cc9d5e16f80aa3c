/**
 * Repeating an S3 call, as every writer and completer does it. The SDK's hidden retries are off: here, and only here,
 * a call is sent again, so that it is known whether each attempt had a definite answer (docs/fencing.md).
 */
import { UnavailableError } from '../errors.ts';
import type { CallOptions } from '../s3/object-storage.ts';
import { S3Error } from '../s3/s3-errors.ts';
import type { Clock } from './clock.ts';

/** Waits of about 0.1, 0.2, 0.4 … 5 s: together 13 to 26 s, longer than a restart or a fail-over of a store. */
const MAX_ATTEMPTS = 11;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5_000;
/** A denial is final, but for MinIO's, which says so when it has just removed a folder (docs/s3.md). */
const DENIED_ATTEMPTS = 3;

/** What has arrived is stored also for a client that has gone; but a call that fails is repeated only for so long then. */
const REPEATED_AFTER_LEAVING_MS = 10_000;
/** Before the process ends, a call gets so long for its only attempt; one that has had it already ends at once. */
const LAST_ATTEMPT_MS = 5_000;

export interface RetryLimits {
  /**
   * How long one call may take, with all its attempts and the waits between them: counted from its beginning, or from the
   * last byte of its payload that had not been under way before. So a large part on a slow line is given its time, and a
   * storage that hangs is not, however often it is asked.
   */
  callMs: number;
  /** Abort when nobody waits for the outcome: the client has gone, or another request wants the upload. */
  left?: readonly AbortSignal[];
  /** Aborts when the process is to end, within LAST_ATTEMPT_MS. */
  ending?: AbortSignal;
}

export interface RetryHooks {
  /** Called before each attempt; what it throws ends the call. */
  beforeAttempt?: () => Promise<void>;
  /** Called for each attempt that may have been done although it failed. */
  onUnknownOutcome?: (error: unknown) => void;
  /** Ends the call at once when it aborts. */
  signal?: AbortSignal;
}

/** An attempt was given up: S3 may have done what it was asked to, or do it later. */
export class StorageSlowError extends UnavailableError {
  override readonly name = 'StorageSlowError';

  constructor() {
    super('storage', 'the storage has not answered in time');
  }
}

/** One call and its attempts. */
interface RunningCall {
  /** When it began, or when a byte of its payload last went farther than any before. */
  movedAtMs: number;
  farthestBytes: number;
}

/** The calls to S3 of one request, or of one job. */
export class S3Retry {
  readonly #clock: Clock;
  readonly #callMs: number;
  /** Of the attempts that are under way: sets anew when they are given up. */
  readonly #rearms = new Set<() => void>();
  #leftAtMs: number | null = null;
  #endingAtMs: number | null = null;

  constructor(clock: Clock, { callMs, left = [], ending }: RetryLimits) {
    this.#clock = clock;
    this.#callMs = callMs;
    for (const signal of left) {
      onceAborted(signal, () => {
        this.#leftAtMs ??= clock.now();
      });
    }
    if (ending !== undefined) {
      onceAborted(ending, () => {
        this.#endingAtMs = clock.now();
        for (const rearm of this.#rearms) rearm();
      });
    }
  }

  /**
   * @param call one attempt; hands the options on to the storage
   * @throws the last attempt's error, or what `beforeAttempt` threw
   */
  async run<T>(call: (options: CallOptions) => Promise<T>, hooks: RetryHooks = {}): Promise<T> {
    const running: RunningCall = { movedAtMs: this.#clock.now(), farthestBytes: 0 };
    for (let attempt = 1; ; attempt += 1) {
      await hooks.beforeAttempt?.();
      try {
        return await this.#attempt(call, running, hooks.signal);
      } catch (error) {
        // Whatever is not S3's own definite "no" may have been done.
        if (!(error instanceof S3Error) || error.outcome === 'unknown') hooks.onUnknownOutcome?.(error);
        if (!(error instanceof S3Error) || attempt >= attemptsAfter(error)) throw error;
        const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempt - 1));
        if (!(await this.#waits(wait * (0.5 + this.#clock.random() / 2), running, hooks.signal))) throw error;
      }
    }
  }

  /** @returns false when there is no time for another attempt after it */
  async #waits(ms: number, running: RunningCall, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#clock.now() + ms >= this.#repeatedUntil(running)) return false;
    const woken = new AbortController();
    const wake = () => woken.abort();
    this.#rearms.add(wake);
    signal?.addEventListener('abort', wake);
    try {
      if (signal?.aborted !== true) await this.#clock.sleep(ms, woken.signal).catch(() => {});
    } finally {
      this.#rearms.delete(wake);
      signal?.removeEventListener('abort', wake);
    }
    return signal?.aborted !== true && this.#clock.now() < this.#repeatedUntil(running);
  }

  #repeatedUntil({ movedAtMs }: RunningCall): number {
    const leftUntil = this.#leftAtMs === null ? Number.POSITIVE_INFINITY : this.#leftAtMs + REPEATED_AFTER_LEAVING_MS;
    return Math.min(movedAtMs + this.#callMs, leftUntil, this.#endingAtMs ?? Number.POSITIVE_INFINITY);
  }

  /** Gives up waiting when its time is over, also for a storage that does not heed the signal. */
  async #attempt<T>(
    call: (options: CallOptions) => Promise<T>,
    running: RunningCall,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const clock = this.#clock;
    const startedMs = clock.now();
    const abort = new AbortController();
    const givenUp = Promise.withResolvers<never>();
    const giveUp = () => {
      const error = new StorageSlowError();
      givenUp.reject(error);
      abort.abort(error);
    };
    let callOff = () => {};
    const rearm = () => {
      callOff();
      const leftMs = this.#givenUpAt(startedMs, running) - clock.now();
      if (leftMs <= 0) giveUp();
      // By then it may have moved on.
      else callOff = clock.alarm(leftMs, rearm);
    };
    const onProgress = (bytes: number) => {
      if (bytes <= running.farthestBytes) return;
      running.farthestBytes = bytes;
      running.movedAtMs = clock.now();
    };
    this.#rearms.add(rearm);
    signal?.addEventListener('abort', giveUp);
    rearm();
    if (signal?.aborted === true) giveUp();
    try {
      return await Promise.race([givenUp.promise, call({ signal: abort.signal, onProgress })]);
    } finally {
      callOff();
      this.#rearms.delete(rearm);
      signal?.removeEventListener('abort', giveUp);
    }
  }

  #givenUpAt(startedMs: number, { movedAtMs }: RunningCall): number {
    const endMs = movedAtMs + this.#callMs;
    const endingAtMs = this.#endingAtMs;
    if (endingAtMs === null) return endMs;
    return Math.min(endMs, Math.max(endingAtMs, Math.min(startedMs, endingAtMs) + LAST_ATTEMPT_MS));
  }
}

function onceAborted(signal: AbortSignal, work: () => void): void {
  if (signal.aborted) work();
  else signal.addEventListener('abort', work, { once: true });
}

function attemptsAfter({ retryable, s3Code }: S3Error): number {
  if (retryable) return MAX_ATTEMPTS;
  return s3Code === 'AccessDenied' ? DENIED_ATTEMPTS : 1;
}
