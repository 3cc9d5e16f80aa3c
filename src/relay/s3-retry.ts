/**
 * Repeating an S3 call, as every writer and completer does it. The SDK's hidden retries are off: here, and only here,
 * a call is sent again, so that it is known whether each attempt had a definite answer (design section 4, "Clean end").
 */
import { S3Error } from '../s3/s3-errors.ts';
import type { Clock } from './clock.ts';

/** Waits of about 0.1, 0.2, 0.4 … 5 s: together 13 to 26 s, longer than a restart or a fail-over of a store. */
const MAX_ATTEMPTS = 11;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5_000;
/** A denial is final, but for MinIO's, which says so when it has just removed a folder (docs/s3.md). */
const DENIED_ATTEMPTS = 3;

export interface RetryHooks {
  /** Called before each attempt; what it throws ends the call. */
  beforeAttempt?: () => Promise<void>;
  /** Called for each attempt that may have been done although it failed. */
  onUnknownOutcome?: (error: unknown) => void;
  signal?: AbortSignal;
}

/** @throws the last attempt's error, or what `beforeAttempt` threw */
export async function withS3Retry<T>(clock: Clock, call: () => Promise<T>, hooks: RetryHooks = {}): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    await hooks.beforeAttempt?.();
    try {
      return await call();
    } catch (error) {
      // Whatever is not S3's own definite "no" may have been done.
      if (!(error instanceof S3Error) || error.outcome === 'unknown') hooks.onUnknownOutcome?.(error);
      if (!(error instanceof S3Error) || attempt >= attemptsAfter(error)) throw error;
      const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempt - 1));
      await clock.sleep(wait * (0.5 + clock.random() / 2), hooks.signal);
    }
  }
}

function attemptsAfter({ retryable, s3Code }: S3Error): number {
  if (retryable) return MAX_ATTEMPTS;
  return s3Code === 'AccessDenied' ? DENIED_ATTEMPTS : 1;
}
