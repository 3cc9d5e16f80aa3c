import { newLockCounters } from './lock-counters.ts';
import {
  LOCK_WAIT_MS,
  type LockRequest,
  type NodeLocker,
  type ReleaseLock,
  UploadLockedError,
} from './upload-locker.ts';

interface Waiter {
  request: LockRequest;
  /** The holder has been asked to let go on behalf of whoever waits. */
  asked: boolean;
  grant: () => void;
}

/** The lock of a single node: a queue per upload in order of arrival, woken by the release, without polling. */
export class MemoryLocker implements NodeLocker {
  /** Of a single node: it is all that there is. */
  readonly shared = true;
  readonly calls = null;
  readonly degraded = false;
  readonly counters = newLockCounters();
  /** The first of each queue holds the lock. An upload that nobody wants has no queue. */
  readonly #queues = new Map<string, Waiter[]>();
  readonly #waitMs: number;

  constructor(waitMs = LOCK_WAIT_MS) {
    this.#waitMs = waitMs;
  }

  /** Uploads that are locked now. */
  get heldCount(): number {
    return this.#queues.size;
  }

  isLocked(uploadId: string): boolean {
    return this.#queues.has(uploadId);
  }

  async acquire(request: LockRequest): Promise<ReleaseLock> {
    request.signal?.throwIfAborted();
    const queue = this.#queues.get(request.uploadId) ?? [];
    this.#queues.set(request.uploadId, queue);
    const waiter: Waiter = { request, asked: false, grant: () => {} };
    queue.push(waiter);
    if (queue[0] !== waiter) await this.#wait(queue, waiter);
    this.counters.acquired += 1;
    let released = false;
    return async () => {
      if (released) return;
      released = true;
      this.#leave(queue, waiter);
    };
  }

  /** As if a request that is not patient had come. @returns false: nobody holds it */
  requestRelease(uploadId: string): boolean {
    const holder = this.#queues.get(uploadId)?.[0];
    if (holder !== undefined) ask(holder);
    return holder !== undefined;
  }

  /** There is nothing to give back: the locks end with the process. */
  async close(): Promise<void> {}

  async #wait(queue: Waiter[], waiter: Waiter): Promise<void> {
    const { uploadId, signal } = waiter.request;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const startedAt = performance.now();
    this.counters.waits += 1;
    const timer = setTimeout(() => {
      this.counters.timeouts += 1;
      reject(new UploadLockedError(uploadId));
    }, this.#waitMs);
    const onAbort = () => reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    waiter.grant = resolve;
    askToLetGo(queue);
    try {
      await promise;
    } catch (error) {
      this.#leave(queue, waiter);
      throw error;
    } finally {
      this.counters.waitMs += performance.now() - startedAt;
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #leave(queue: Waiter[], waiter: Waiter): void {
    const place = queue.indexOf(waiter);
    if (place === -1) return;
    queue.splice(place, 1);
    const next = queue[0];
    if (next === undefined) {
      this.#queues.delete(waiter.request.uploadId);
    } else if (place === 0) {
      next.grant();
      // The new holder starts first, and learns then that others wait behind it.
      if (queue.length > 1) setImmediate(() => askToLetGo(queue));
    }
  }
}

function askToLetGo(queue: Waiter[]): void {
  const holder = queue[0];
  if (holder !== undefined && !queue.slice(1).every(({ request }) => request.patient)) ask(holder);
}

function ask(holder: Waiter): void {
  if (holder.asked) return;
  holder.asked = true;
  holder.request.onReleaseRequested?.();
}
