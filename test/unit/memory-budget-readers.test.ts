/** Who may read from a connection: nobody holds memory for it, and nobody reads what there is no room for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryBudget } from '../../src/relay/memory-budget.ts';
import { PartBuffer } from '../../src/relay/part-buffer.ts';
import { SpillStore } from '../../src/relay/spill-store.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const READ = 64 * KIB;
/** Parts have 4 MiB of it. */
const CAPACITY = Math.ceil(((4 * MIB + MIB) * 8) / 7);

/** A client's side of a part buffer: it reads when it may, and has always something to read. */
class Reader {
  readonly buffer: PartBuffer;
  mayRead = false;
  interruptions = 0;
  lettings = 0;

  constructor(budget: MemoryBudget, signal?: AbortSignal) {
    const interrupted = () => {
      this.interruptions += 1;
      this.mayRead = false;
    };
    this.buffer = new PartBuffer(budget, 2 * MIB, interrupted, signal);
  }

  /** Comes back when it may read. */
  async ask(): Promise<this> {
    while (!this.buffer.flushWanted) {
      const ready = this.buffer.readyToRead();
      if (ready === true) {
        this.mayRead = true;
        this.lettings += 1;
        break;
      }
      await ready;
    }
    return this;
  }

  read(bytes = READ): true | Promise<boolean> {
    assert.ok(this.mayRead, 'it reads without leave');
    return this.buffer.append(Buffer.alloc(bytes));
  }
}

function openBudget(): MemoryBudget {
  const noDisk = () => Promise.reject(new Error('there is no disk'));
  const store = new SpillStore(noDisk, { capBytes: null, now: () => 0, onFailure: () => {} });
  return new MemoryBudget(CAPACITY, MIB, store, () => 0);
}

/** What is on its way to S3 comes back by itself: nobody is asked to flush for it. */
function takeInFlight(budget: MemoryBudget, bytes: number): void {
  assert.ok(budget.take(bytes));
  budget.addInFlight(bytes);
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

test('ten thousand silent clients may all be read from, and hold nothing', () => {
  const budget = openBudget();
  const readers = Array.from({ length: 10_000 }, () => new Reader(budget));
  for (const { buffer } of readers) assert.equal(buffer.readyToRead(), true);
  assert.equal(budget.figures.usedBytes, 0);
  assert.equal(budget.figures.waiting, 0);
});

test('the read that leaves no room for another stops all readers before the event loop goes on', async () => {
  const budget = openBudget();
  const readers = await Promise.all(Array.from({ length: 300 }, () => new Reader(budget).ask()));
  let reads = 0;
  for (const reader of readers) {
    if (!reader.mayRead) continue;
    // What was read before all were stopped is held at once: no chunk waits.
    assert.equal(reader.read(), true);
    reads += 1;
  }
  assert.equal(reads, (4 * MIB) / READ - 1, 'one read of two blocks would still have found room before the last');
  assert.ok(readers.every(({ mayRead }) => !mayRead));
  assert.ok(budget.figures.usedBytes <= 4 * MIB);
  const asked = readers.map((reader) => reader.ask());
  await turns(5);
  // There is no disk, and nothing is on its way to S3: one is asked to make room.
  assert.equal(budget.figures.waiting + budget.figures.flushesTotal, 300);
  for (const { buffer } of readers) buffer.release();
  await Promise.allSettled(asked);
});

test('they are let in again in their order, as many as there is room for, and those behind the silent ones too', async () => {
  const budget = openBudget();
  assert.ok(budget.take(4 * MIB));
  const silent = Array.from({ length: 60 }, () => new Reader(budget));
  const busy = Array.from({ length: 60 }, () => new Reader(budget));
  const order: Reader[] = [];
  const asked = [...silent, ...busy].map((reader) => reader.ask().then((it) => order.push(it)));
  budget.give(512 * KIB);
  await turns(1);
  assert.deepEqual(order, silent.slice(0, 4), 'four reads of two blocks');
  await turns(200);
  assert.equal(order.length, 120, 'silent ones took nothing, so the others follow');
  assert.deepEqual(order, [...silent, ...busy]);
  await Promise.all(asked);
  // Only three reads fit. Whoever made them, all others wait again, in their order.
  let reads = 0;
  for (const reader of busy) if (reader.mayRead) reads += reader.read() === true ? 1 : 0;
  assert.ok(reads >= 3 && reads <= 8, `${reads} reads`);
  assert.ok(silent.every(({ mayRead }) => !mayRead));
});

test('a client that is let in never overtakes a chunk that waits', async () => {
  const budget = openBudget();
  takeInFlight(budget, 4 * MIB - READ);
  const buffer = new PartBuffer(budget, 2 * MIB, () => {});
  assert.equal(buffer.append(Buffer.alloc(READ)), true);
  const waits = buffer.append(Buffer.alloc(READ));
  const reader = new Reader(budget);
  const asked = reader.ask();
  budget.give(READ);
  assert.equal(await waits, true);
  await turns(5);
  assert.equal(reader.mayRead, false);
  budget.give(2 * READ);
  await asked;
});

test('who waits for its turn ends with its signal, or when it is asked to flush', async () => {
  const budget = openBudget();
  assert.ok(budget.take(4 * MIB));
  const stop = new AbortController();
  const asked = new Reader(budget, stop.signal).ask();
  const reason = new Error('stopped');
  stop.abort(reason);
  await assert.rejects(asked, reason);
  const other = new Reader(budget);
  const flushed = other.ask();
  other.buffer.wantFlush();
  await flushed;
  assert.equal(other.mayRead, false);
  assert.equal(budget.figures.waiting, 0);
});

test('the rest of a chunk begins the next part at once, though others wait', async () => {
  const budget = openBudget();
  const reader = await new Reader(budget).ask();
  takeInFlight(budget, 4 * MIB - 3 * READ + KIB);
  // After it there is too little for another: the read that brings the end of one part and the beginning of the next.
  assert.equal(reader.read(), true);
  const waiting = new Reader(budget);
  const asked = waiting.ask();
  await turns(2);
  const next = new Reader(budget);
  assert.equal(next.buffer.appendNow(Buffer.alloc(READ)), true);
  assert.equal(next.buffer.appendNow(Buffer.alloc(READ)), false);
  assert.equal(next.buffer.bytes, READ);
  waiting.buffer.release();
  await assert.rejects(asked);
});
