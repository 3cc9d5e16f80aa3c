import { randomUUID } from 'node:crypto';
import type { LockCounters } from './lock-counters.ts';
import { MemoryLocker } from './memory-locker.ts';
import {
  LOCK_WAIT_MS,
  type LockRequest,
  type NodeLocker,
  type ReleaseLock,
  type WriterCalls,
} from './upload-locker.ts';

const CHANNEL = 'tus_relay_locks';

/** What the locker needs of the messages among the nodes. */
export interface NodeMessages {
  readonly connected: boolean;
  listen(channel: string, hear: (payload: string) => void): void;
  onChange(listener: (connected: boolean) => void): void;
  notify(channel: string, payloads: readonly string[]): Promise<void>;
}

/**
 * Many nodes on one Postgres, without Redis. Inside a node the requests of an upload queue in memory. Among the nodes
 * the writer's token in the upload's row is the lock, which the claim takes and which is given back by the writer's last
 * commit: it costs no statement of its own. Only who finds another node's token there says so, and the two messages for
 * that go here: `wanted`, to whoever holds the upload, and `free`, when it was wanted and has been let go.
 *
 * With the messages lost, a writer is waited for until it has ended or has been silent (upload-relay.ts).
 */
export class PostgresLocker implements NodeLocker, WriterCalls {
  readonly shared = false;
  readonly #messages: NodeMessages;
  readonly #local: MemoryLocker;
  readonly #nodeId = randomUUID();
  /** Held on this node, and wanted on another one. */
  readonly #wanted = new Set<string>();
  /** Who waits on this node for a writer of another one to let go, by upload. */
  readonly #waiting = new Map<string, Set<() => void>>();
  #outages = 0;

  /** @param messages not started yet */
  constructor(messages: NodeMessages, waitMs = LOCK_WAIT_MS) {
    this.#messages = messages;
    this.#local = new MemoryLocker(waitMs);
    messages.listen(CHANNEL, (payload) => this.#hear(payload));
    messages.onChange((connected) => {
      if (!connected) this.#outages += 1;
    });
  }

  get calls(): WriterCalls {
    return this;
  }

  get connected(): boolean {
    return this.#messages.connected;
  }

  get degraded(): boolean {
    return !this.#messages.connected;
  }

  get counters(): LockCounters {
    return { ...this.#local.counters, outages: this.#outages };
  }

  async acquire(request: LockRequest): Promise<ReleaseLock> {
    const leave = await this.#local.acquire(request);
    if (this.degraded) this.#local.counters.fallbacks += 1;
    const { uploadId } = request;
    return async () => {
      await leave();
      if (this.#wanted.delete(uploadId)) this.#say('free', uploadId);
    };
  }

  askToLetGo(uploadId: string): void {
    this.#say('wanted', uploadId);
  }

  async freed(uploadId: string, withinMs: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, withinMs);
    const onAbort = () => reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    const waiting = this.#waiting.get(uploadId) ?? new Set();
    this.#waiting.set(uploadId, waiting.add(resolve));
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      waiting.delete(resolve);
      if (waiting.size === 0 && this.#waiting.get(uploadId) === waiting) this.#waiting.delete(uploadId);
    }
  }

  /** The messages belong to whoever opened them. */
  close(): Promise<void> {
    return this.#local.close();
  }

  #say(what: 'wanted' | 'free', uploadId: string): void {
    // Unheard it only makes somebody wait longer: who waits looks at the row every second.
    this.#messages.notify(CHANNEL, [`${what} ${uploadId} ${this.#nodeId}`]).catch(() => {});
  }

  #hear(payload: string): void {
    const [what, uploadId, nodeId] = payload.split(' ');
    if (uploadId === undefined || nodeId === this.#nodeId) return;
    if (what === 'wanted' && this.#local.requestRelease(uploadId)) this.#wanted.add(uploadId);
    if (what === 'free') for (const wake of this.#waiting.get(uploadId) ?? []) wake();
  }
}
