/**
 * The memory that part buffers of the whole process share (V7). What they hold is counted as it is allocated, in whole
 * blocks; it never exceeds the capacity.
 *
 * No connection is read from before there is room for what a read may bring. Who finds the budget spent waits in one
 * queue, first come first served, while the budget makes room in this order: remembered
 * tails are dropped; buffers that will be needed last are spilled to files; what is being sent to S3 is waited for; and
 * when all that is not enough (the disk is full), the buffer that has gone longest without progress is asked to be
 * stored as a tail segment and released.
 *
 * Nothing deadlocks: what is counted is either remembered (dropped at once), being sent (S3 calls end), being spilled
 * (file calls end), or in a buffer that is filling, which can be flushed. Flushing needs no memory but that of a merge.
 * Merges have a reserve of their own, whose holders wait for S3 and the disk only; a flush does without one for which
 * the reserve is too small.
 */
import { LARGEST_BLOCK_BYTES } from './chunk-list.ts';
import { freeMemory } from './free-memory.ts';
import type { SpillStore } from './spill-store.ts';
import { chooseFlushVictim, chooseSpillVictim, type FillingBuffer, SPILLED_HELD_BYTES } from './spill-victims.ts';
import { WaitingRoom } from './waiting-room.ts';

/** A part larger than this share of the capacity goes to a file from its beginning. */
const LARGEST_SHARE_IN_MEMORY = 1 / 4;

/**
 * Kept back for what nobody can take the memory of beforehand: the beginnings of bodies, which come along with the
 * headers of their requests.
 */
const UNREAD_SHARE = 1 / 8;

/** So that a few sockets' chunks fit whatever the operator has asked for. */
export const MIN_CAPACITY_BYTES = 4 * 1024 * 1024;

/**
 * What one read from a connection may need: Node reads 64 KiB at most, which may end one block and begin another, of
 * the same part or of the next.
 */
const READ_ROOM_BYTES = 2 * LARGEST_BLOCK_BYTES;

/** A merge that goes through a file needs one piece of it in memory. */
const MIN_RESERVE_BYTES = 64 * 1024;

/** What the budget asks of a part buffer. */
export interface BudgetedBuffer extends FillingBuffer {
  /** What it waits for; it is in the queue. null: for its turn to read from its connection. */
  readonly wantedBytes: number | null;
  /** Its `wantedBytes` are its own now, or its connection may be read from. */
  granted(): void;
  /** From this moment on nothing may be read from its connection, until it has waited again. */
  stopReading(): void;
  /** Moves what it holds into a file, and gives all but SPILLED_HELD_BYTES back. Never rejects. */
  spill(): Promise<void>;
  /** Its owner is to store what it holds and to release it. It leaves the queue. */
  wantFlush(): void;
}

/** Memory of the budget whose holder can be told to let go of it at any time: see TailMemory. */
export interface Reclaimable {
  /** Drops what has gone unused longest, and gives its bytes back. @returns false when nothing is left */
  reclaim(): boolean;
}

/** Memory for a merge, from wherever there was some. */
export interface MergeGrant {
  release(): void;
}

interface MergeWaiter {
  readonly bytes: number;
  readonly resolve: (grant: MergeGrant) => void;
}

/** For the metrics. Bytes unless they say otherwise. */
export interface BudgetFigures {
  capacityBytes: number;
  /** Everything that is held, remembered tails and the reserve included. */
  usedBytes: number;
  /** Of them: on their way to S3. */
  inFlightBytes: number;
  reserveUsedBytes: number;
  /** Beginnings of bodies that came along with the headers and wait in memory; not among those that are used. */
  unreadBytes: number;
  /** In spill files now. */
  spilledBytes: number;
  spilledTotalBytes: number;
  /** What spill files may have together, as of the latest look at their disk. */
  spillLimitBytes: number;
  spillFailuresTotal: number;
  /** Writes that were not made because of the limit. */
  spillRefusalsTotal: number;
  /** Buffers that wait for memory now. */
  waiting: number;
  waitsTotal: number;
  flushesTotal: number;
}

export class MemoryBudget {
  readonly capacityBytes: number;
  /** For what comes in without having been asked for. */
  readonly waitingRoom: WaitingRoom;
  readonly #reserveBytes: number;
  /** What everything but merges may hold. */
  readonly #limit: number;
  readonly #spillStore: SpillStore;
  readonly #now: () => number;
  readonly #filling = new Set<BudgetedBuffer>();
  readonly #queue = new Set<BudgetedBuffer>();
  /** Those that may read from their connections. They hold no memory for it: see {@link mayRead}. */
  readonly #readers = new Set<BudgetedBuffer>();
  readonly #mergeQueue = new Set<MergeWaiter>();
  #remembered: Reclaimable | null = null;
  readonly #freeBlocks: Buffer[] = [];
  #used = 0;
  #reserveUsed = 0;
  #inFlight = 0;
  #waitingBytes = 0;
  /** Room that those who were let in to read just now are likely to need. */
  #promisedBytes = 0;
  /** What spills under way will give back. */
  #spillGain = 0;
  #progress = 0;
  #waitsTotal = 0;
  #flushesTotal = 0;
  #relieving = false;
  #relieveAgain = false;

  /**
   * @param capacityBytes BUFFER_BYTES
   * @param partBytes PART_BYTES: as much is kept back for merges, but at most a quarter
   * @param now monotonic, in milliseconds
   */
  constructor(capacityBytes: number, partBytes: number, spillStore: SpillStore, now: () => number) {
    if (capacityBytes < MIN_CAPACITY_BYTES) {
      throw new RangeError(`a memory budget of ${capacityBytes} bytes is too small: at least ${MIN_CAPACITY_BYTES}`);
    }
    this.capacityBytes = capacityBytes;
    this.#reserveBytes = Math.min(
      Math.max(partBytes, MIN_RESERVE_BYTES),
      Math.floor(capacityBytes * LARGEST_SHARE_IN_MEMORY),
    );
    const unreadBytes = Math.floor(capacityBytes * UNREAD_SHARE);
    this.waitingRoom = new WaitingRoom(unreadBytes, spillStore);
    this.#limit = capacityBytes - this.#reserveBytes - unreadBytes;
    this.#spillStore = spillStore;
    this.#now = now;
    spillStore.onSpace = () => this.#relieve();
  }

  get spillStore(): SpillStore {
    return this.#spillStore;
  }

  get nowMs(): number {
    return this.#now();
  }

  /** See {@link FillingBuffer.lastProgress}. */
  get progress(): number {
    return this.#progress;
  }

  /** The largest charge that one chunk may have. */
  get largestGrantBytes(): number {
    return this.#limit;
  }

  /** Parts of this size go to a file from their beginning: a few of them would fill the memory. */
  alwaysSpills(partBytes: number): boolean {
    return partBytes > this.capacityBytes * LARGEST_SHARE_IN_MEMORY;
  }

  get figures(): BudgetFigures {
    return {
      capacityBytes: this.capacityBytes,
      usedBytes: this.#used + this.#reserveUsed,
      inFlightBytes: this.#inFlight,
      reserveUsedBytes: this.#reserveUsed,
      unreadBytes: this.waitingRoom.bytes,
      spilledBytes: this.#spillStore.bytes,
      spilledTotalBytes: this.#spillStore.totalBytes,
      spillLimitBytes: this.#spillStore.limitBytes ?? Number.POSITIVE_INFINITY,
      spillFailuresTotal: this.#spillStore.failures,
      spillRefusalsTotal: this.#spillStore.refusals,
      waiting: this.#queue.size + this.#mergeQueue.size,
      waitsTotal: this.#waitsTotal,
      flushesTotal: this.#flushesTotal,
    };
  }

  /** Its memory is reclaimed before anybody waits. */
  set remembered(remembered: Reclaimable) {
    this.#remembered = remembered;
  }

  /** Somebody waits for memory: nothing is to be remembered now. */
  get scarce(): boolean {
    return this.#queue.size > 0 || this.#mergeQueue.size > 0;
  }

  /**
   * May this buffer's connection be read from? Who may holds no memory for it, so that ten thousand silent clients cost
   * nothing: one read after the other is made, and at the one which leaves too little room for another, all readers are
   * stopped before the event loop goes on.
   *
   * @returns false: it has to {@link wait} for its turn
   */
  mayRead(buffer: BudgetedBuffer): boolean {
    if (this.#readers.has(buffer)) return true;
    if (this.#queue.size > 0 || !this.#hasReadRoom(0)) return false;
    this.#readers.add(buffer);
    return true;
  }

  /** Memory for what a reader has read, or what somebody has who is no reader: the latter never overtakes who waits. */
  take(bytes: number, buffer: BudgetedBuffer | null = null): boolean {
    const isReader = buffer !== null && this.#readers.has(buffer);
    if (this.#queue.size > 0 && !isReader) return false;
    return this.takeNow(bytes);
  }

  /** For the rest of a chunk whose beginning was taken: the read that brought it was given room for both. */
  takeNow(bytes: number): boolean {
    this.#reclaimFor(bytes);
    if (!this.#fits(bytes)) return false;
    this.#use(bytes);
    return true;
  }

  #use(bytes: number): void {
    this.#used += bytes;
    this.#progress += 1;
    if (this.#readers.size > 0 && !this.#hasReadRoom(0)) this.#stopReaders();
  }

  /** As {@link take}, for memory that is no block, whatever its size. */
  takeUnpooled(bytes: number): boolean {
    if (!this.take(bytes)) return false;
    // Of the size of a block, it was let in in place of a free one.
    if (this.#used + this.#freeBytes > this.#limit) this.#dropBlock();
    return true;
  }

  /**
   * A large block, whose memory has been taken. Blocks are used again: allocated anew for every part they would become
   * garbage of the old generation, which is the costly one to collect.
   */
  takeBlock(): Buffer {
    return this.#freeBlocks.pop() ?? Buffer.allocUnsafeSlow(LARGEST_BLOCK_BYTES);
  }

  /**
   * Memory that was taken is free again.
   *
   * @param blocks of it: are kept for the next ones who take a block, as long as nobody needs the memory otherwise
   */
  give(bytes: number, blocks: readonly Buffer[] = []): void {
    this.#used -= bytes;
    for (const block of blocks) {
      if (this.#used + this.#freeBytes + block.length <= this.#limit) this.#freeBlocks.push(block);
      else freeMemory(block.buffer);
    }
    if (this.#queue.size > 0 || this.#mergeQueue.size > 0) this.#relieve();
  }

  get #freeBytes(): number {
    return this.#freeBlocks.length * LARGEST_BLOCK_BYTES;
  }

  /** Who takes a block gets a free one, if there is any, rather than more memory. */
  #fits(bytes: number): boolean {
    const reused = bytes === LARGEST_BLOCK_BYTES && this.#freeBlocks.length > 0 ? LARGEST_BLOCK_BYTES : 0;
    return this.#used + this.#freeBytes - reused + bytes <= this.#limit;
  }

  addFilling(buffer: BudgetedBuffer): void {
    this.#filling.add(buffer);
  }

  removeFilling(buffer: BudgetedBuffer): void {
    this.#filling.delete(buffer);
    this.#readers.delete(buffer);
    this.stopWaiting(buffer);
  }

  /** Held memory is on its way to S3 from now on, and comes back by itself. Negative when that is over. */
  addInFlight(bytes: number): void {
    this.#inFlight += bytes;
  }

  /** Puts a buffer at the end of the queue, with its `wantedBytes`. */
  wait(buffer: BudgetedBuffer): void {
    this.#queue.add(buffer);
    this.#waitingBytes += wantedBytes(buffer);
    this.#waitsTotal += 1;
    this.#relieve();
  }

  /** To be called before its `wantedBytes` change. */
  stopWaiting(buffer: BudgetedBuffer): void {
    if (!this.#queue.delete(buffer)) return;
    this.#waitingBytes -= wantedBytes(buffer);
    this.#relieve();
  }

  /** Spills a buffer whether or not there is pressure. */
  startSpill(buffer: BudgetedBuffer): void {
    const gain = Math.max(0, buffer.heldBytes - SPILLED_HELD_BYTES);
    this.#spillGain += gain;
    if (this.#readers.delete(buffer)) buffer.stopReading();
    // Its own failures are its own affair; there is nothing here that could reject.
    void buffer.spill().then(() => {
      this.#spillGain -= gain;
      this.#relieve();
    });
  }

  /**
   * Memory for a merge or a completion: of the ordinary budget when there is room, else of the reserve, first come
   * first served. The holder may wait for S3 and the disk, never for other memory.
   *
   * @returns null when it is more than the reserve and there is no room: it has to go another way
   */
  async takeForMerge(bytes: number, signal?: AbortSignal): Promise<MergeGrant | null> {
    signal?.throwIfAborted();
    if (this.#mergeQueue.size === 0) {
      const grant = this.#grantMerge(bytes);
      if (grant !== null) return grant;
    }
    if (bytes > this.#reserveBytes) return null;
    const { promise, resolve, reject } = Promise.withResolvers<MergeGrant>();
    const waiter: MergeWaiter = { bytes, resolve };
    const onAbort = () => {
      this.#mergeQueue.delete(waiter);
      reject(signal?.reason);
      this.#relieve();
    };
    this.#mergeQueue.add(waiter);
    this.#waitsTotal += 1;
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await promise;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #grantMerge(bytes: number): MergeGrant | null {
    if (this.takeUnpooled(bytes)) {
      this.#inFlight += bytes;
      return once(() => {
        this.#inFlight -= bytes;
        this.give(bytes);
      });
    }
    if (this.#reserveUsed + bytes > this.#reserveBytes) return null;
    this.#reserveUsed += bytes;
    return once(() => {
      this.#reserveUsed -= bytes;
      this.#relieve();
    });
  }

  #reclaimFor(bytes: number): void {
    while (!this.#fits(bytes)) {
      if (!this.#dropBlock() && this.#remembered?.reclaim() !== true) return;
    }
  }

  /** @returns false when there is none */
  #dropBlock(): boolean {
    const block = this.#freeBlocks.pop();
    if (block !== undefined) freeMemory(block.buffer);
    return block !== undefined;
  }

  /** Lets everybody in whom there is room for, and makes room for the rest. */
  #relieve(): void {
    this.#relieveAgain = true;
    // A buffer that is asked to flush may be released before its callback is over: no second round inside the first.
    if (this.#relieving) return;
    this.#relieving = true;
    try {
      while (this.#relieveAgain) {
        this.#relieveAgain = false;
        this.#grantMerges();
        this.#grantQueue();
        if (this.#queue.size > 0) this.#spillForQueue();
        if (this.#queue.size > 0) this.#flushForHead();
      }
    } finally {
      this.#relieving = false;
    }
  }

  #grantMerges(): void {
    for (const waiter of this.#mergeQueue) {
      const grant = this.#grantMerge(waiter.bytes);
      if (grant === null) return;
      this.#mergeQueue.delete(waiter);
      waiter.resolve(grant);
    }
  }

  #grantQueue(): void {
    for (const buffer of this.#queue) {
      const bytes = buffer.wantedBytes;
      if (bytes === null) {
        if (!this.#hasReadRoom(this.#promisedBytes)) return;
        this.#promise();
        this.#readers.add(buffer);
      } else {
        this.#reclaimFor(bytes);
        if (!this.#fits(bytes)) return;
      }
      this.#queue.delete(buffer);
      this.#waitingBytes -= bytes ?? READ_ROOM_BYTES;
      if (bytes !== null) this.#use(bytes);
      buffer.granted();
    }
  }

  /**
   * Readers are let in for as much as there is room, and when they have had the time to read, more of them: whoever is
   * silent took none. So they are served in their order, and not all are stopped again for the sake of a few.
   */
  #promise(): void {
    if (this.#promisedBytes === 0) setImmediate(() => setImmediate(() => this.#forgetPromises()));
    this.#promisedBytes += READ_ROOM_BYTES;
  }

  #forgetPromises(): void {
    this.#promisedBytes = 0;
    if (this.#queue.size > 0) this.#relieve();
  }

  /** Drops remembered tails for it, if need be. Free blocks are as good as free memory. */
  #hasReadRoom(promisedBytes: number): boolean {
    while (this.#used + promisedBytes + READ_ROOM_BYTES > this.#limit) {
      if (this.#remembered?.reclaim() !== true) return false;
    }
    return true;
  }

  #stopReaders(): void {
    const readers = [...this.#readers];
    this.#readers.clear();
    for (const buffer of readers) buffer.stopReading();
  }

  #spillForQueue(): void {
    // When half of the memory is on its way to S3, then S3 is what everybody waits for, and a disk would not help.
    if (this.#inFlight >= this.#limit / 2) return;
    const nowMs = this.#now();
    while (this.#waitingBytes > this.#limit - this.#used + this.#spillGain && this.#spillStore.hasRoom) {
      const victim = chooseSpillVictim(this.#filling, nowMs);
      if (victim === null) return;
      this.startSpill(victim);
    }
  }

  #flushForHead(): void {
    for (let head = this.#head(); head !== null; head = this.#head()) {
      let coming = this.#limit - this.#used + this.#spillGain + this.#inFlight;
      for (const buffer of this.#filling) if (buffer.flushWanted) coming += buffer.heldBytes;
      if (wantedBytes(head) <= coming) return;
      const victim = chooseFlushVictim(this.#filling);
      if (victim === null) return;
      this.#flushesTotal += 1;
      victim.wantFlush();
    }
  }

  #head(): BudgetedBuffer | null {
    for (const buffer of this.#queue) return buffer;
    return null;
  }
}

function wantedBytes(buffer: BudgetedBuffer): number {
  return buffer.wantedBytes ?? READ_ROOM_BYTES;
}

function once(release: () => void): MergeGrant {
  let released = false;
  return {
    release: () => {
      if (released) return;
      released = true;
      release();
    },
  };
}
