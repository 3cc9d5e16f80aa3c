import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryBudget } from '../../src/relay/memory-budget.ts';
import { PartBuffer } from '../../src/relay/part-buffer.ts';
import { type SpillHandle, SpillStore } from '../../src/relay/spill-store.ts';
import { SPILLED_HELD_BYTES } from '../../src/relay/spill-victims.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** A file in memory whose writes end when they are let through, and fail when they are told to. */
class SlowFile implements SpillHandle {
  content = Buffer.alloc(0);
  writes = 0;
  closed = false;
  #gate: PromiseWithResolvers<void> | null = null;

  holdWrites(): void {
    this.#gate = Promise.withResolvers();
  }

  letThrough(): void {
    this.#gate?.resolve();
    this.#gate = null;
  }

  failWith(code: string): void {
    this.#gate?.reject(Object.assign(new Error(code), { code }));
    this.#gate = null;
  }

  async writev(chunks: readonly Uint8Array[], position: number): Promise<{ bytesWritten: number }> {
    this.writes += 1;
    await this.#gate?.promise;
    assert.equal(this.closed, false, 'written to after it was closed');
    const bytes = Buffer.concat(chunks);
    this.content = Buffer.concat([this.content.subarray(0, position), bytes]);
    return { bytesWritten: bytes.length };
  }

  async read(into: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> {
    return { bytesRead: this.content.copy(into, offset, position, position + length) };
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

interface Spilled {
  buffer: PartBuffer;
  budget: MemoryBudget;
  file: SlowFile;
  /** What the buffer holds already. */
  start: Buffer;
}

/** A buffer that goes to its file from the beginning, and is there. */
async function openSpilled(signal?: AbortSignal): Promise<Spilled> {
  const file = new SlowFile();
  const store = new SpillStore(async () => file, { capBytes: null, now: () => 0, onFailure: () => {} });
  const budget = new MemoryBudget(4 * MIB, MIB, store, () => 0);
  const buffer = new PartBuffer(budget, 3 * MIB, () => {}, signal);
  const start = Buffer.alloc(320 * KIB, 's');
  for (let at = 0; at < start.length; at += 64 * KIB) {
    assert.equal(await buffer.append(Buffer.allocUnsafeSlow(64 * KIB).fill('s')), true);
  }
  assert.equal(buffer.heldBytes, SPILLED_HELD_BYTES);
  return { buffer, budget, file, start };
}

function chunk(bytes: number, text: string): Buffer {
  return Buffer.allocUnsafeSlow(bytes).fill(text);
}

async function bytesOf(buffer: PartBuffer): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const one of buffer.read()) chunks.push(Buffer.from(one));
  return Buffer.concat(chunks);
}

test('chunks pass through a small window, and reading goes on only when it has room', async () => {
  const { buffer, file, start } = await openSpilled();
  file.holdWrites();
  assert.equal(buffer.append(Buffer.from('some small ones')), true);
  assert.equal(buffer.append(chunk(64 * KIB, 'a')), true);
  const waits = buffer.append(chunk(64 * KIB, 'b'));
  assert.ok(waits instanceof Promise);
  file.letThrough();
  assert.equal(await waits, true);
  assert.equal(buffer.append(chunk(64 * KIB, 'c')), true);
  buffer.seal();
  const rest = ['a', 'b', 'c'].map((text) => chunk(64 * KIB, text));
  rest.unshift(Buffer.from('some small ones'));
  assert.ok((await bytesOf(buffer)).equals(Buffer.concat([start, ...rest])));
  buffer.release();
});

test('small chunks are gathered before they are written', async () => {
  const { buffer, file, start } = await openSpilled();
  const before = file.writes;
  for (let i = 0; i < 60; i++) assert.equal(await buffer.append(Buffer.alloc(1000, 'x')), true);
  assert.ok(file.writes - before <= 2, `${file.writes - before} writes`);
  buffer.seal();
  assert.ok((await bytesOf(buffer)).equals(Buffer.concat([start, Buffer.alloc(60_000, 'x')])));
  buffer.release();
});

test('a chunk that was given up on its way into the file is not part of it', async () => {
  const stop = new AbortController();
  const { buffer, file, start } = await openSpilled(stop.signal);
  file.holdWrites();
  const waits = buffer.append(chunk(100 * KIB, 'x'));
  stop.abort(new Error('stopped'));
  await assert.rejects(async () => waits, /stopped/);
  file.letThrough();
  assert.equal(buffer.append(chunk(10 * KIB, 'y')), true);
  buffer.seal();
  assert.ok((await bytesOf(buffer)).equals(Buffer.concat([start, chunk(10 * KIB, 'y')])));
  buffer.release();
});

test('a flush that is wanted while a chunk is on its way into the file leaves the chunk to the caller', async () => {
  const { buffer, file, start } = await openSpilled();
  file.holdWrites();
  const waits = buffer.append(chunk(100 * KIB, 'x'));
  buffer.wantFlush();
  assert.equal(await waits, false);
  file.letThrough();
  buffer.seal();
  assert.equal(buffer.bytes, start.length);
  assert.ok((await bytesOf(buffer)).equals(start));
  buffer.release();
});

test('when the disk is full nothing is lost: file first, then what could not be written, then memory', async () => {
  const { buffer, budget, file, start } = await openSpilled();
  file.holdWrites();
  assert.equal(buffer.append(chunk(64 * KIB, 'a')), true);
  assert.equal(buffer.append(chunk(64 * KIB, 'b')), true);
  const waits = buffer.append(chunk(64 * KIB, 'c'));
  file.failWith('ENOSPC');
  assert.equal(await waits, true);
  assert.equal(buffer.append(chunk(64 * KIB, 'd')), true);
  assert.equal(budget.figures.spillFailuresTotal, 1);
  assert.equal(buffer.heldBytes, SPILLED_HELD_BYTES + 2 * 64 * KIB);
  buffer.seal();
  const rest = ['a', 'b', 'c', 'd'].map((text) => chunk(64 * KIB, text));
  assert.ok((await bytesOf(buffer)).equals(Buffer.concat([start, ...rest])));
  buffer.release();
  assert.equal(budget.figures.usedBytes, 0);
});

test('memory that is being written is given back only when that is over, and the file is closed after it', async () => {
  const { buffer, budget, file } = await openSpilled();
  file.holdWrites();
  assert.equal(buffer.append(chunk(64 * KIB, 'a')), true);
  assert.equal(buffer.append(chunk(64 * KIB, 'b')), true);
  buffer.release();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(budget.figures.usedBytes, SPILLED_HELD_BYTES);
  assert.equal(file.closed, false);
  file.letThrough();
  await new Promise((resolve) => setImmediate(resolve));
  await budget.spillStore.settled();
  assert.equal(file.closed, true);
  assert.equal(budget.figures.usedBytes, 0);
});

test('a buffer that is sealed while it is being spilled is sent from memory', async () => {
  const file = new SlowFile();
  const store = new SpillStore(async () => file, { capBytes: null, now: () => 0, onFailure: () => {} });
  const budget = new MemoryBudget(4 * MIB, MIB, store, () => 0);
  const buffer = new PartBuffer(budget, 3 * MIB, () => {});
  file.holdWrites();
  for (let i = 0; i < 4; i++) assert.equal(buffer.append(chunk(64 * KIB, 'a')), true);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(file.writes, 1);
  buffer.seal();
  assert.equal(buffer.inMemory, true);
  file.letThrough();
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok((await bytesOf(buffer)).equals(chunk(256 * KIB, 'a')));
  assert.equal(buffer.heldBytes, 256 * KIB);
  buffer.release();
  await store.settled();
  assert.equal(budget.figures.usedBytes, 0);
  assert.equal(store.bytes, 0);
});
