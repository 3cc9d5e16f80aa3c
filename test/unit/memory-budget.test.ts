import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MemoryBudget } from '../../src/relay/memory-budget.ts';
import { MergeBuffer } from '../../src/relay/merge-buffer.ts';
import { PartBuffer } from '../../src/relay/part-buffer.ts';
import { openSpillStore, SpillSpaceError } from '../../src/relay/spill-store.ts';
import { SPILLED_HELD_BYTES } from '../../src/relay/spill-victims.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const PART = 2 * MIB;

interface Bench {
  budget: MemoryBudget;
  dir: string;
  failures: unknown[];
  clock: { nowMs: number };
}

/** Of it an eighth is kept back for what is unread, and a part for merges: parts have 6 MiB. */
const CAPACITY = Math.ceil(((6 * MIB + PART) * 8) / 7);

/** Parts have 6 MiB, merges have 2. */
async function openBudget(t: TestContext, capBytes: number | null = null): Promise<Bench> {
  const dir = await mkdtemp(join(tmpdir(), 'spill-'));
  t.after(() => rm(dir, { recursive: true }));
  const failures: unknown[] = [];
  const clock = { nowMs: 0 };
  const now = () => clock.nowMs;
  const spillStore = await openSpillStore(dir, { capBytes, now, onFailure: (error) => failures.push(error) });
  return { budget: new MemoryBudget(CAPACITY, PART, spillStore, now), dir, failures, clock };
}

/** A part that fills at once, in chunks of 64 KiB. */
async function fill(buffer: PartBuffer, bytes: number, value = 1): Promise<void> {
  for (let done = 0; done < bytes; done += 64 * KIB) {
    assert.equal(await buffer.append(Buffer.alloc(Math.min(64 * KIB, bytes - done), value)), true);
  }
}

function openPart(budget: MemoryBudget, signal?: AbortSignal): PartBuffer & { flushes: number } {
  const counted: { flushes: number } = { flushes: 0 };
  const buffer = new PartBuffer(budget, PART, () => counted.flushes++, signal);
  return Object.defineProperty(buffer, 'flushes', { get: () => counted.flushes }) as PartBuffer & { flushes: number };
}

async function bytesOf(payload: { read(): Iterable<Uint8Array> | AsyncIterable<Uint8Array> }): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of payload.read()) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

test('below the budget nothing touches the disk and nobody waits', async (t) => {
  const { budget } = await openBudget(t);
  const buffers = [openPart(budget), openPart(budget), openPart(budget)];
  for (const buffer of buffers) {
    for (let i = 0; i < 32; i++) assert.equal(buffer.append(Buffer.alloc(64 * KIB)), true);
  }
  assert.equal(budget.figures.usedBytes, 6 * MIB);
  assert.equal(budget.figures.spilledTotalBytes, 0);
  assert.equal(budget.figures.waitsTotal, 0);
  for (const buffer of buffers) buffer.release();
  assert.equal(budget.figures.usedBytes, 0);
});

test('above it the buffer that will be needed last goes to a file, and its bytes come back as they were', async (t) => {
  const { budget, dir, clock } = await openBudget(t);
  const slow = openPart(budget);
  await fill(slow, MIB, 7);
  const others = [openPart(budget), openPart(budget)];
  clock.nowMs = 10_000;
  const fast = openPart(budget);
  for (const other of others) await fill(other, 2 * MIB);
  clock.nowMs = 10_010;
  await fill(fast, MIB + 512 * KIB, 3);
  assert.equal(slow.inMemory, false);
  assert.equal(fast.inMemory, true);
  assert.ok(budget.figures.usedBytes <= budget.capacityBytes);
  assert.deepEqual(await readdir(dir), [], 'the file has no name');
  await fill(slow, 300 * KIB, 8);
  await slow.append(Buffer.from('end'));
  slow.seal();
  const expected = Buffer.concat([Buffer.alloc(MIB, 7), Buffer.alloc(300 * KIB, 8), Buffer.from('end')]);
  assert.ok((await bytesOf(slow)).equals(expected));
  assert.ok((await bytesOf(slow)).equals(expected), 'a retry reads it again');
  assert.ok(Buffer.from(await slow.head(10)).equals(expected.subarray(0, 10)));
  assert.equal(slow.bytes, expected.length);
  for (const buffer of [slow, fast, ...others]) buffer.release();
  await budget.spillStore.settled();
  assert.equal(budget.figures.usedBytes, 0);
  assert.equal(budget.figures.spilledBytes, 0);
});

test('a part of more than a quarter of the memory goes to a file from its beginning', async (t) => {
  const { budget } = await openBudget(t);
  assert.equal(budget.alwaysSpills(Math.floor(CAPACITY / 4)), false);
  assert.equal(budget.alwaysSpills(Math.ceil(CAPACITY / 4)), true);
  const buffer = new PartBuffer(budget, 3 * MIB, () => {});
  await fill(buffer, 3 * MIB, 5);
  assert.equal(buffer.heldBytes, SPILLED_HELD_BYTES);
  buffer.seal();
  assert.ok((await bytesOf(buffer)).equals(Buffer.alloc(3 * MIB, 5)));
  buffer.release();
});

test('with the disk full, the buffer that has gone longest without progress is asked to be flushed', async (t) => {
  const { budget, failures } = await openBudget(t, 0);
  const idle = openPart(budget);
  await fill(idle, MIB);
  const buffers = [openPart(budget), openPart(budget), openPart(budget)];
  for (const buffer of buffers.slice(0, 2)) await fill(buffer, 2 * MIB);
  await fill(buffers[2] as PartBuffer, MIB);
  assert.equal(budget.figures.usedBytes, 6 * MIB);
  const waits = buffers[2]?.append(Buffer.alloc(64 * KIB));
  assert.ok(waits instanceof Promise);
  await budgetTried(budget, () => idle.flushes > 0);
  assert.equal(idle.flushes, 1);
  assert.ok(failures.every((it) => it instanceof SpillSpaceError) && failures.length > 0);
  assert.equal(idle.append(Buffer.alloc(1)) instanceof Promise, true);
  idle.seal();
  assert.equal((await bytesOf(idle)).length, MIB, 'it still has what it held');
  idle.release();
  assert.equal(await waits, true);
  for (const buffer of buffers) buffer.release();
  assert.equal(budget.figures.usedBytes, 0);
});

test('a waiting buffer that is itself chosen gets its chunk back', async (t) => {
  const { budget } = await openBudget(t, 0);
  const buffers = [openPart(budget), openPart(budget), openPart(budget)];
  for (const buffer of buffers) await fill(buffer, 2 * MIB);
  const waits = buffers.map((buffer) => buffer.append(Buffer.alloc(64 * KIB)));
  assert.equal(await waits[0], false);
  assert.equal(buffers[0]?.bytes, 2 * MIB);
  buffers[0]?.release();
  assert.deepEqual(await Promise.all(waits), [false, true, true]);
  for (const buffer of buffers) buffer.release();
});

test('what is being sent to S3 is waited for before anybody is flushed', async (t) => {
  const { budget } = await openBudget(t, 0);
  const sent = openPart(budget);
  await fill(sent, 2 * MIB);
  sent.seal();
  const others = [openPart(budget), openPart(budget)];
  for (const other of others) await fill(other, 2 * MIB);
  const waits = others[0]?.append(Buffer.alloc(64 * KIB));
  await budgetTried(budget, () => budget.spillStore.refusals > 0);
  assert.equal(budget.figures.flushesTotal, 0);
  sent.release();
  assert.equal(await waits, true);
});

test('who waited first is served first, and nobody overtakes', async (t) => {
  const { budget } = await openBudget(t, 0);
  const sent = openPart(budget);
  await fill(sent, 2 * MIB);
  sent.seal();
  const sentToo = openPart(budget);
  await fill(sentToo, 4 * MIB - 64 * KIB);
  sentToo.seal();
  const [large, small] = [openPart(budget), openPart(budget)];
  const order: string[] = [];
  const first = Promise.resolve(large.append(Buffer.alloc(128 * KIB))).then(() => order.push('large'));
  const second = Promise.resolve(small.append(Buffer.alloc(32 * KIB))).then(() => order.push('small'));
  sent.release();
  await Promise.all([first, second]);
  assert.deepEqual(order, ['large', 'small']);
});

test('a wait ends with its signal, and leaves no trace', async (t) => {
  const { budget } = await openBudget(t, 0);
  const sent = openPart(budget);
  await fill(sent, 6 * MIB);
  sent.seal();
  const stop = new AbortController();
  const buffer = openPart(budget, stop.signal);
  const waits = buffer.append(Buffer.alloc(64 * KIB));
  stop.abort(new Error('asked to stop'));
  await assert.rejects(async () => waits, /asked to stop/);
  assert.equal(budget.figures.waiting, 0);
  await assert.rejects(async () => buffer.append(Buffer.alloc(64 * KIB)), /asked to stop/);
  assert.equal(budget.figures.waiting, 0);
  sent.release();
  assert.equal(budget.figures.usedBytes, 0);
  assert.equal(buffer.bytes, 0);
});

test('a thousand clients of a byte each hold about a mebibyte', async (t) => {
  const { budget } = await openBudget(t);
  const buffers = Array.from({ length: 1000 }, () => openPart(budget));
  for (const buffer of buffers) assert.equal(buffer.append(Buffer.alloc(1)), true);
  assert.equal(budget.figures.usedBytes, 1000 * KIB);
});

test('a merge takes from the reserve when the memory is spent, one after the other', async (t) => {
  const { budget } = await openBudget(t, 0);
  const sent = openPart(budget);
  await fill(sent, 6 * MIB);
  sent.seal();
  const first = await MergeBuffer.open(budget, 2 * MIB);
  assert.equal(budget.figures.usedBytes, 8 * MIB);
  let opened = false;
  const second = MergeBuffer.open(budget, MIB).then((it) => {
    opened = true;
    return it;
  });
  const stop = new AbortController();
  const third = MergeBuffer.open(budget, MIB, stop.signal);
  stop.abort(new Error('gone'));
  await assert.rejects(third, /gone/);
  assert.equal(opened, false);
  await first.append(Buffer.alloc(2 * MIB, 4));
  assert.ok((await bytesOf(first)).equals(Buffer.alloc(2 * MIB, 4)));
  first.release();
  (await second).release();
  sent.release();
  await budgetTried(budget, () => budget.figures.usedBytes === 0);
});

test('a merge larger than a quarter of the memory goes through a file, and says so when there is none', async (t) => {
  const { budget } = await openBudget(t);
  const merge = await MergeBuffer.open(budget, 3 * MIB);
  await merge.append(Buffer.alloc(3 * MIB, 6));
  assert.equal(merge.inMemory, false);
  assert.ok((await bytesOf(merge)).equals(Buffer.alloc(3 * MIB, 6)));
  assert.ok(Buffer.from(await merge.head(5)).equals(Buffer.alloc(5, 6)));
  merge.release();
  const full = await openBudget(t, MIB);
  const refused = await MergeBuffer.open(full.budget, 3 * MIB);
  await assert.rejects(refused.append(Buffer.alloc(3 * MIB)), SpillSpaceError);
  refused.release();
});

test('at the start names that a kill has left are removed, and nothing else', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'spill-'));
  t.after(() => rm(dir, { recursive: true }));
  await writeFile(join(dir, 'tus-relay-spill-00000000-0000-4000-8000-000000000000'), 'x');
  await writeFile(join(dir, 'tus-relay-spill-notes.txt'), 'x');
  await openSpillStore(dir, { capBytes: null, now: () => 0, onFailure: () => assert.fail() });
  assert.deepEqual(await readdir(dir), ['tus-relay-spill-notes.txt']);
});

/** Lets file calls end until it is so; a test that waits in vain fails by its time-out. */
async function budgetTried(budget: MemoryBudget, isSo: () => boolean): Promise<void> {
  while (!isSo()) {
    await new Promise((resolve) => setImmediate(resolve));
    await budget.spillStore.settled();
  }
}
