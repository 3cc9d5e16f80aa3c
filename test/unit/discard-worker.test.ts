/** What happens to leftovers that S3 does not let us remove. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { DiscardWorker } from '../../src/relay/discard-worker.ts';
import { MemoryDatabase, MemoryDatabaseServer } from '../support/memory-database.ts';
import { MemoryDiscardCatalog } from '../support/memory-discard-catalog.ts';
import { type Fate, MemoryObjectStorage, type S3Call } from '../support/memory-object-storage.ts';
import { SURE_OF_STORAGE } from '../support/test-relay.ts';

const OK: Fate = { kind: 'ok' };
const DENIED: Fate = { kind: 'refuse', code: 'AccessDenied' };
const isAbout = (operation: string, fate: Fate) => (call: S3Call) => (call.operation === operation ? fate : OK);

function setUp() {
  const clock = { nowMs: Date.UTC(2026, 0, 1) };
  const server = new MemoryDatabaseServer(() => clock.nowMs);
  const storage = new MemoryObjectStorage();
  const failures: Error[] = [];
  const discards = new DiscardWorker(
    new MemoryDiscardCatalog(new MemoryDatabase(server)),
    storage,
    SURE_OF_STORAGE,
    (error) => failures.push(error as Error),
  );
  let serial = 0;
  return {
    ...{ clock, storage, failures, discards },
    /** As commits write them. @param kind what of the bucket each is about */
    add(count: number, kind: 'object' | 'multipart', recheckAtMs: number | null = null) {
      server.write('add', (tables) => {
        for (let i = 0; i < count; i += 1) {
          serial += 1;
          const s3UploadId = kind === 'multipart' ? `upload-${serial}` : null;
          tables.discards.set(serial, {
            ...{ discardId: serial, uploadId: randomUUID(), objectKey: `uploads/${serial}`, scope: kind, s3UploadId },
            ...{ deletedAtMs: null, recheckAtMs, tries: 0, dueAtMs: 0 },
          });
        }
      });
    },
    left: () => server.tables.discards.size,
    async kick() {
      storage.forget();
      discards.kick();
      await discards.idle();
      return storage.calls.length;
    },
  };
}

test('hundreds of leftovers that S3 refuses to remove are one line of the log, and the next kick leaves them alone', async () => {
  const { storage, failures, kick, add, left } = setUp();
  storage.fate = isAbout('AbortMultipartUpload', DENIED);
  add(300, 'multipart');
  assert.equal(await kick(), 300);
  assert.equal(failures.length, 1);
  assert.match(String(failures[0]), /300 leftovers could not be removed.* AbortMultipartUpload failed: AccessDenied/);
  add(1, 'object');
  assert.equal(await kick(), 1, 'the new one alone');
  assert.deepEqual([failures.length, left()], [1, 300]);
});

test('objects that S3 refuses to delete, too, wait for their time', async () => {
  const { storage, failures, kick, add, left } = setUp();
  storage.deleteObjects = async (keys) => {
    storage.calls.push({ operation: 'DeleteObjects', key: keys.join(' ') });
    return { failedKeys: [...keys] };
  };
  add(700, 'object');
  assert.equal(await kick(), 2);
  assert.equal(failures.length, 1);
  assert.match(String(failures[0]), /700 leftovers could not be removed/);
  assert.equal(await kick(), 0);
  assert.equal(left(), 700);
});

test('what failed is tried again, later each time, an hour at most; and is gone when S3 lets it', async () => {
  const { storage, clock, kick, add, left } = setUp();
  storage.fate = isAbout('AbortMultipartUpload', DENIED);
  add(1, 'multipart');
  const waitsMs: number[] = [];
  let lastTryMs = clock.nowMs;
  await kick();
  while (waitsMs.length < 12) {
    clock.nowMs += 5_000;
    if ((await kick()) === 0) continue;
    waitsMs.push(clock.nowMs - lastTryMs);
    lastTryMs = clock.nowMs;
  }
  assert.deepEqual(waitsMs.slice(0, 4), [15_000, 30_000, 60_000, 120_000]);
  assert.deepEqual(waitsMs.slice(-2), [3_600_000, 3_600_000]);
  storage.fate = () => OK;
  clock.nowMs += 3_600_000;
  await kick();
  assert.equal(left(), 0);
});

for (const kind of ['object', 'multipart'] as const) {
  test(`a service that does not answer is asked three times in a turn, about ${kind}s, however many there are`, async () => {
    const { storage, clock, failures, kick, add, left } = setUp();
    storage.fate = () => ({ kind: 'fail', code: 'ServiceUnavailable' });
    add(2_000, kind);
    assert.equal(await kick(), 3);
    assert.equal(failures.length, 1);
    assert.match(String(failures[0]), /S3 does not answer, and was not asked about the rest/);
    storage.fate = () => OK;
    clock.nowMs += 15_000;
    await kick();
    assert.equal(left(), 0, 'back again, it removes all');
    assert.equal(failures.length, 1);
  });
}

test('leftovers that are refused keep nobody from a service that answers', async () => {
  const { storage, kick, add, left } = setUp();
  const refused = /^uploads\/(\d*[02468])$/;
  storage.fate = ({ operation, key }) => (operation === 'AbortMultipartUpload' && refused.test(key) ? DENIED : OK);
  add(40, 'multipart');
  await kick();
  assert.equal(left(), 20);
});

test('stopping ends a turn in the middle of a call, says nothing of it, and forgets nothing', async () => {
  const { storage, failures, discards, add, left } = setUp();
  add(300, 'multipart');
  const reached = Promise.withResolvers<void>();
  let calls = 0;
  storage.abortMultipartUpload = async (_key, _id, options) => {
    calls += 1;
    if (calls <= 10) return 'missing';
    // S3 does not answer: the call ends when its signal says so.
    reached.resolve();
    return new Promise((_resolve, reject) =>
      options?.signal?.addEventListener('abort', () => reject(options.signal?.reason)),
    );
  };
  discards.kick();
  await reached.promise;
  await discards.stop();
  assert.deepEqual([calls, failures, left()], [11, [], 290]);
  discards.kick();
  await discards.idle();
  assert.deepEqual([calls, left()], [11, 290], 'nothing begins after the end');
  const again = await discards.removeUndone(1);
  assert.deepEqual([again.removed, again.failure, calls], [0, null, 11]);
});

test('a batch delete that is under way ends with the stop, too, and its rows keep their turn', async () => {
  const { storage, failures, discards, add, left } = setUp();
  add(10, 'object');
  const reached = Promise.withResolvers<void>();
  storage.deleteObjects = async (_keys, options) => {
    reached.resolve();
    return new Promise((_resolve, reject) =>
      options?.signal?.addEventListener('abort', () => reject(options.signal?.reason)),
    );
  };
  discards.kick();
  await reached.promise;
  await discards.stop();
  assert.deepEqual([failures, left()], [[], 10]);
});

test('an operator’s sweep tries at once what has failed before', async () => {
  const { storage, discards, kick, add, left } = setUp();
  storage.fate = isAbout('AbortMultipartUpload', DENIED);
  add(5, 'multipart');
  await kick();
  storage.fate = () => OK;
  assert.equal((await discards.removeUndone(1)).removed, 0);
  await discards.makeAllDue();
  assert.equal((await discards.removeUndone(1)).removed, 5);
  assert.equal(left(), 0);
});

test('a recheck that S3 refuses comes later, and the row stays until then', async () => {
  const { storage, clock, discards, failures, kick, add, left } = setUp();
  add(1, 'multipart', clock.nowMs + 60_000);
  await kick();
  clock.nowMs += 60_000;
  storage.fate = isAbout('AbortMultipartUpload', DENIED);
  assert.match(String((await discards.recheck(1)).failure), /1 leftovers could not be removed.* AccessDenied/);
  storage.fate = () => OK;
  assert.equal((await discards.recheck(1)).removed, 0, 'not due yet');
  assert.equal(left(), 1);
  clock.nowMs += 15_000;
  assert.equal((await discards.recheck(1)).removed, 1);
  assert.deepEqual([left(), failures], [0, []]);
});
