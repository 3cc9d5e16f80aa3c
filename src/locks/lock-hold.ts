import type { LockRequest } from './upload-locker.ts';

/** One request's way through the lock of many nodes: it waits and is woken, holds and is asked to let go, ends. */
export class LockHold {
  /** Names this hold and no other, ever. */
  readonly token: string;
  readonly uploadId: string;
  readonly signal: AbortSignal | undefined;
  /** Redis was asked for it, so Redis may know it, whatever became of the answer. */
  isKnownToRedis = false;
  readonly #onReleaseRequested: (() => void) | undefined;
  #state: 'waiting' | 'granted' | 'over' = 'waiting';
  #releaseRequested = false;
  #renewedAt = performance.now();
  #woken = false;
  #wake: () => void = () => {};

  constructor(token: string, request: LockRequest) {
    this.token = token;
    this.uploadId = request.uploadId;
    this.signal = request.signal;
    this.#onReleaseRequested = request.onReleaseRequested;
  }

  get isOver(): boolean {
    return this.#state === 'over';
  }

  /** To be called before the question whose answer may be "wait": a wake-up from then on is not missed. */
  expectWakeUp(): void {
    this.#woken = false;
  }

  wake(): void {
    this.#woken = true;
    this.#wake();
  }

  /**
   * Resolves when woken, or after a time.
   *
   * @throws the signal's reason
   */
  async wakeUp(withinMs: number): Promise<void> {
    if (this.#woken) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, withinMs);
    const onAbort = () => reject(this.signal?.reason);
    this.signal?.addEventListener('abort', onAbort, { once: true });
    this.#wake = resolve;
    try {
      await promise;
    } finally {
      this.#wake = () => {};
      clearTimeout(timer);
      this.signal?.removeEventListener('abort', onAbort);
    }
  }

  grant(): void {
    this.#state = 'granted';
    this.renewed();
    // The holder gets its lock first, and learns then that others wait behind it.
    if (this.#releaseRequested) setImmediate(() => this.#passOn());
  }

  /** Passed on once, and only while the lock is held. */
  requestRelease(): void {
    if (this.#releaseRequested) return;
    this.#releaseRequested = true;
    if (this.#state === 'granted') this.#passOn();
  }

  renewed(): void {
    this.#renewedAt = performance.now();
  }

  /** Milliseconds since it was granted or renewed. */
  ageMs(): number {
    return performance.now() - this.#renewedAt;
  }

  end(): void {
    this.#state = 'over';
  }

  #passOn(): void {
    if (this.#state === 'granted') this.#onReleaseRequested?.();
  }
}
