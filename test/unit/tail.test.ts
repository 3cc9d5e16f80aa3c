import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { MemoryBudget, MIN_CAPACITY_BYTES } from '../../src/relay/memory-budget.ts';
import { S3Retry } from '../../src/relay/s3-retry.ts';
import { SpillStore } from '../../src/relay/spill-store.ts';
import { MemorySpentError, openSegments } from '../../src/relay/tail.ts';
import { TailMemory } from '../../src/relay/tail-memory.ts';
import type { OpenedObject } from '../../src/s3/object-storage.ts';
import { S3Error } from '../../src/s3/s3-errors.ts';
import { MemoryObjectStorage } from '../support/memory-object-storage.ts';
import { impatientClock, patternBytes } from '../support/test-relay.ts';

/** More than a quarter of the memory: it goes to a file. */
const TAIL_BYTES = MIN_CAPACITY_BYTES / 2;

for (const [why, openFile] of [
  ['no file can be made', () => Promise.reject(Object.assign(new Error('EMFILE'), { code: 'EMFILE' }))],
  ['the disk is full', () => Promise.resolve(fullDisk)],
] as const) {
  test(`a large tail goes through memory when ${why}, or is a matter of waiting, and holds nothing`, async () => {
    const clock = impatientClock();
    const spillStore = new SpillStore(openFile, { capBytes: null, now: clock.now, onFailure: () => {} });
    const budget = new MemoryBudget(MIN_CAPACITY_BYTES, MIN_CAPACITY_BYTES, spillStore, clock.now);
    const content = patternBytes(TAIL_BYTES);
    const storage = new MemoryObjectStorage();
    await storage.putObject('tail', { bytes: TAIL_BYTES, read: () => [content] }, {});
    const tail = [{ sequence: 1, objectKey: 'tail', bytes: TAIL_BYTES }];
    const tails = new TailMemory(budget);
    const retry = new S3Retry(clock, { callMs: 90_000 });
    const load = () => openSegments({ storage, retry, budget, tails }, 'upload', tail);
    const [loaded, ...others] = await load();
    assert.ok(loaded !== undefined && others.length === 0);
    assert.ok(content.equals(Buffer.concat([...(loaded.read() as Iterable<Uint8Array>)])));
    assert.equal(budget.figures.usedBytes, TAIL_BYTES);
    // Of a second one there is no room.
    await assert.rejects(load(), (error) => error instanceof MemorySpentError && error.status === 503);
    loaded.release();
    await spillStore.settled();
    await nextTurn();
    assert.equal(budget.figures.usedBytes, 0);
    assert.equal(spillStore.bytes, 0);
  });
}

test('a tail of many segments is loaded however often S3 fails or breaks off in between', async () => {
  const clock = impatientClock();
  const content = patternBytes(64 * 1_000);
  const storage = new ShakyStorage();
  const tail = Array.from({ length: 64 }, (_, place) => ({
    sequence: place + 1,
    objectKey: `tail/${place}`,
    bytes: 1_000,
  }));
  for (const [place, { objectKey }] of tail.entries()) {
    const bytes = content.subarray(place * 1_000, (place + 1) * 1_000);
    await storage.putObject(objectKey, { bytes: bytes.length, read: () => [bytes] }, {});
  }
  const spillStore = new SpillStore(() => Promise.reject(new Error('no file is needed')), {
    ...{ capBytes: 0, now: clock.now, onFailure: () => {} },
  });
  const budget = new MemoryBudget(MIN_CAPACITY_BYTES, 1_000_000, spillStore, clock.now);
  const tails = new TailMemory(budget);
  const retry = new S3Retry(clock, { callMs: 90_000 });
  const [loaded, ...others] = await openSegments({ storage, retry, budget, tails }, 'upload', tail);
  assert.ok(loaded?.inMemory && others.length === 0);
  assert.ok(Buffer.concat([...(loaded.read() as Iterable<Uint8Array>)]).equals(content));
  loaded.release();
  await nextTurn();
  assert.equal(budget.figures.usedBytes, 0);
});

/** Of three calls the first fails, the second breaks off after a while, the third is whole. */
class ShakyStorage extends MemoryObjectStorage {
  #calls = 0;

  override async getObject(key: string): Promise<OpenedObject | null> {
    this.#calls += 1;
    if (this.#calls % 3 === 1) throw new S3Error('GetObject', 'SlowDown', 503, 'unknown');
    const opened = await super.getObject(key);
    return opened === null || this.#calls % 3 === 0 ? opened : { ...opened, body: Readable.from(cutOff(opened.body)) };
  }
}

async function* cutOff(body: Readable): AsyncGenerator<Buffer> {
  for await (const chunk of body as AsyncIterable<Buffer>) {
    yield chunk.subarray(0, 300);
    throw new Error('ECONNRESET');
  }
}

const fullDisk = {
  writev: () => Promise.reject(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })),
  read: () => Promise.resolve({ bytesRead: 0 }),
  close: () => Promise.resolve(),
};
