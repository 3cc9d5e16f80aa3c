import { randomUUID } from 'node:crypto';
import { type LockCounters, newLockCounters } from './lock-counters.ts';
import { LockHold } from './lock-hold.ts';
import { MemoryLocker } from './memory-locker.ts';
import { COMMAND_TIMEOUT_MS } from './redis-connection.ts';
import { type LinkLogger, RedisLink } from './redis-link.ts';
import { lockToken, nodeChannel, RedisLockScripts, readLockMessage } from './redis-lock-scripts.ts';
import {
  LOCK_WAIT_MS,
  type LockRequest,
  type NodeLocker,
  type ReleaseLock,
  UploadLockedError,
} from './upload-locker.ts';

export interface RedisLockTimes {
  /** A holder that has not renewed for so long may lose the lock. Below the wait, so that the next one sees it. */
  ttlMs: number;
  renewEveryMs: number;
  /** How often a waiter asks again, in case that the message which should wake it was lost. */
  pollEveryMs: number;
  waitMs: number;
  /** How often a lost Redis is tried. */
  checkEveryMs: number;
  commandTimeoutMs: number;
}

export const REDIS_LOCK_TIMES: Readonly<RedisLockTimes> = {
  ttlMs: 8_000,
  renewEveryMs: 2_000,
  pollEveryMs: 1_000,
  waitMs: LOCK_WAIT_MS,
  checkEveryMs: 1_000,
  commandTimeoutMs: COMMAND_TIMEOUT_MS,
};

/** So many polls may fail to come before a waiter's place is given up. */
const MISSED_POLLS = 3;

/**
 * The lock of many nodes that share a Redis. Inside a node the requests of an upload queue in memory, and the first of
 * them is the node's one contender in Redis. Without Redis the queue in memory is the lock, and the catalog's fencing
 * is what keeps two nodes apart (V6).
 */
export class RedisLocker implements NodeLocker {
  readonly calls = null;
  readonly counters: LockCounters = newLockCounters();
  readonly #nodeId = randomUUID();
  readonly #local: MemoryLocker;
  readonly #link: RedisLink;
  readonly #scripts: RedisLockScripts;
  readonly #times: RedisLockTimes;
  /** By upload. Those that fell back are here, too: they are taken to Redis when it is back. */
  readonly #held = new Map<string, LockHold>();
  /** Over, but Redis could not be told: without being told later it would keep them until they expire. */
  readonly #unreturned = new Set<LockHold>();
  /** By token. */
  readonly #waiting = new Map<string, LockHold>();
  readonly #renewTimer: NodeJS.Timeout;
  #closing: Promise<void> | null = null;

  /**
   * Serves with the locks of this node alone when Redis cannot be reached, and takes Redis in use when it can be.
   *
   * @throws StartError when Redis turns us away (password, permissions), or the URL is none of Redis'
   */
  static async open(url: string, logger: LinkLogger, times: Partial<RedisLockTimes> = {}): Promise<RedisLocker> {
    const locker = new RedisLocker(url, logger, { ...REDIS_LOCK_TIMES, ...times });
    try {
      await locker.#link.open();
    } catch (error) {
      clearInterval(locker.#renewTimer);
      throw error;
    }
    return locker;
  }

  private constructor(url: string, logger: LinkLogger, times: RedisLockTimes) {
    this.#times = times;
    this.#local = new MemoryLocker(times.waitMs);
    const user = {
      check: () => this.#check(),
      onMessage: (message: string) => this.#hear(message),
      onLost: () => this.#onLost(),
    };
    this.#link = new RedisLink(url, nodeChannel(this.#nodeId), user, logger, times);
    this.#scripts = new RedisLockScripts(
      (script, keys, args) => this.#link.run(script, keys, args),
      times.ttlMs,
      times.pollEveryMs * MISSED_POLLS,
    );
    this.#renewTimer = setInterval(() => void this.#renewAll(), times.renewEveryMs).unref();
  }

  get shared(): boolean {
    return !this.#link.lost;
  }

  get degraded(): boolean {
    return this.#link.lost;
  }

  async acquire(request: LockRequest): Promise<ReleaseLock> {
    request.signal?.throwIfAborted();
    if (this.#closing !== null) throw new UploadLockedError(request.uploadId);
    const startedAt = performance.now();
    const hold = new LockHold(lockToken(this.#nodeId, request.patient === true), request);
    let hadToWait = this.#local.isLocked(request.uploadId);
    try {
      const leaveLocal = await this.#local.acquire({ ...request, onReleaseRequested: () => hold.requestRelease() });
      try {
        hadToWait = (await this.#take(hold, startedAt + this.#times.waitMs)) || hadToWait;
      } catch (error) {
        await leaveLocal();
        throw error;
      }
      this.#held.set(request.uploadId, hold);
      this.counters.acquired += 1;
      hold.grant();
      return () => this.#release(hold, leaveLocal);
    } catch (error) {
      if (error instanceof UploadLockedError) {
        hadToWait = true;
        this.counters.timeouts += 1;
      }
      throw error;
    } finally {
      if (hadToWait) {
        this.counters.waits += 1;
        this.counters.waitMs += performance.now() - startedAt;
      }
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#giveBackAndClose();
    return this.#closing;
  }

  /**
   * The contest among the nodes.
   *
   * @param deadline by `performance.now()`
   * @returns whether it had to wait
   */
  async #take(hold: LockHold, deadline: number): Promise<boolean> {
    let hadToWait = false;
    this.#waiting.set(hold.token, hold);
    try {
      for (;;) {
        if (this.#closing !== null) throw new UploadLockedError(hold.uploadId);
        if (this.#link.lost) {
          this.counters.fallbacks += 1;
          return hadToWait;
        }
        hold.expectWakeUp();
        hold.isKnownToRedis = true;
        // Null: Redis was lost with the answer, and may or may not have given us the lock. A renewal will settle it.
        const answer = await this.#scripts.take(hold.uploadId, hold.token).catch(() => null);
        hold.signal?.throwIfAborted();
        if (this.#closing === null && (answer === 'taken' || answer === 'taken-over')) {
          if (answer === 'taken-over') this.counters.expiryTakeovers += 1;
          return hadToWait;
        }
        const leftMs = deadline - performance.now();
        if (leftMs <= 0) throw new UploadLockedError(hold.uploadId);
        if (answer !== 'wait') continue;
        hadToWait = true;
        await hold.wakeUp(Math.min(leftMs, this.#times.pollEveryMs));
      }
    } catch (error) {
      // Not waited for: the client is answered now, and a place that stays behind is given up for its silence.
      void this.#giveBack(hold);
      throw error;
    } finally {
      this.#waiting.delete(hold.token);
    }
  }

  async #release(hold: LockHold, leaveLocal: ReleaseLock): Promise<void> {
    if (hold.isOver) return;
    hold.end();
    const believed = this.#held.get(hold.uploadId) === hold;
    if (believed) this.#held.delete(hold.uploadId);
    const given = this.#giveBack(hold).then((wasOurs) => {
      if (believed && !wasOurs) this.counters.lost += 1;
    });
    // Whoever is next on this node asks Redis over the same connection, so after this.
    await leaveLocal();
    if (!this.#link.lost) await given;
  }

  /**
   * Never rejects. Tried even when Redis is lost: it may only be slow, and then does what it is asked in order.
   *
   * @returns false when another one had taken the lock
   */
  async #giveBack(hold: LockHold): Promise<boolean> {
    if (!hold.isKnownToRedis) return true;
    try {
      return await this.#scripts.release(hold.uploadId, hold.token);
    } catch {
      this.#unreturned.add(hold);
      return true;
    }
  }

  /** Never rejects. */
  async #renewAll(): Promise<void> {
    if (this.#link.lost) return;
    const due = [...this.#held.values()].filter((hold) => hold.ageMs() >= this.#times.renewEveryMs / 2);
    await Promise.allSettled(due.map((hold) => this.#renew(hold)));
  }

  async #renew(hold: LockHold): Promise<void> {
    hold.isKnownToRedis = true;
    const waiting = await this.#scripts.renew(hold.uploadId, hold.token);
    if (this.#held.get(hold.uploadId) !== hold) return;
    hold.renewed();
    if (waiting === null) {
      this.counters.lost += 1;
      this.#held.delete(hold.uploadId);
    }
    if (waiting !== 0) hold.requestRelease();
  }

  /** What every lock needs of Redis, on an upload that does not exist; then what happened without Redis is told. */
  async #check(): Promise<void> {
    const trial = `check-${this.#nodeId}`;
    const token = `${this.#nodeId}/check`;
    await this.#scripts.take(trial, token);
    await this.#scripts.renew(trial, token);
    await this.#scripts.release(trial, token);
    // Before the renewals: the next holder of such an upload would find it locked by another.
    for (const hold of this.#unreturned) {
      await this.#scripts.release(hold.uploadId, hold.token);
      this.#unreturned.delete(hold);
    }
    await Promise.all([...this.#held.values()].map((hold) => this.#renew(hold)));
  }

  #hear(text: string): void {
    const message = readLockMessage(text);
    if (message?.kind === 'wanted') this.#held.get(message.uploadId)?.requestRelease();
    if (message?.kind === 'free') this.#waiting.get(message.token)?.wake();
  }

  #onLost(): void {
    this.counters.outages += 1;
    for (const hold of this.#waiting.values()) hold.wake();
  }

  async #giveBackAndClose(): Promise<void> {
    clearInterval(this.#renewTimer);
    const all = [...this.#held.values(), ...this.#waiting.values()];
    this.#held.clear();
    for (const hold of this.#waiting.values()) hold.wake();
    await Promise.all(all.map((hold) => this.#giveBack(hold)));
    this.#link.close();
  }
}
