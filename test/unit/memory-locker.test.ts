import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryLocker } from '../../src/locks/memory-locker.ts';
import { UploadLockedError } from '../../src/locks/upload-locker.ts';

const uploadId = 'an-upload';

test('a free upload is locked at once, and nothing stays behind when it is released', async () => {
  const locker = new MemoryLocker();
  const release = await locker.acquire({ uploadId });
  assert.equal(locker.heldCount, 1);
  await release();
  assert.equal(locker.heldCount, 0);
});

test('those who wait get their turn in the order in which they came', async () => {
  const locker = new MemoryLocker();
  const order: number[] = [];
  const release = await locker.acquire({ uploadId });
  const others = [1, 2, 3].map(async (place) => {
    const done = await locker.acquire({ uploadId });
    order.push(place);
    await done();
  });
  assert.deepEqual(order, []);
  await release();
  await Promise.all(others);
  assert.deepEqual(order, [1, 2, 3]);
  assert.equal(locker.heldCount, 0);
});

test('the holder is asked once to let go, however many wait', async () => {
  const locker = new MemoryLocker();
  let asked = 0;
  const release = await locker.acquire({ uploadId, onReleaseRequested: () => (asked += 1) });
  const others = [locker.acquire({ uploadId }), locker.acquire({ uploadId })];
  assert.equal(asked, 1);
  await release();
  for (const other of others) await (await other)();
});

test('a new holder with others behind it is asked to let go, too', async () => {
  const locker = new MemoryLocker();
  const release = await locker.acquire({ uploadId });
  const asked = Promise.withResolvers<void>();
  const second = locker.acquire({ uploadId, onReleaseRequested: () => asked.resolve() });
  const third = locker.acquire({ uploadId });
  await release();
  await asked.promise;
  await (await second)();
  await (await third)();
});

test('a wait that runs out is a 423 and gives its place up', async () => {
  const locker = new MemoryLocker(1);
  const release = await locker.acquire({ uploadId });
  await assert.rejects(locker.acquire({ uploadId }), (error) => {
    assert.ok(error instanceof UploadLockedError);
    assert.equal(error.status, 423);
    return true;
  });
  await release();
  assert.equal(locker.heldCount, 0);
});

test('a client that goes while it waits gives its place up', async () => {
  const locker = new MemoryLocker();
  const release = await locker.acquire({ uploadId });
  const gone = new AbortController();
  const waiting = locker.acquire({ uploadId, signal: gone.signal });
  const next = locker.acquire({ uploadId });
  gone.abort(new Error('gone'));
  await assert.rejects(waiting, /gone/);
  await release();
  await (await next)();
  assert.equal(locker.heldCount, 0);
});

test('releasing twice does not release the next holder', async () => {
  const locker = new MemoryLocker();
  const release = await locker.acquire({ uploadId });
  const second = locker.acquire({ uploadId });
  await release();
  const releaseSecond = await second;
  await release();
  let third = false;
  const waiting = locker.acquire({ uploadId }).then((done) => {
    third = true;
    return done;
  });
  await Promise.resolve();
  assert.equal(third, false);
  await releaseSecond();
  await (await waiting)();
});

test('uploads do not wait for each other', async () => {
  const locker = new MemoryLocker();
  const one = await locker.acquire({ uploadId: 'one' });
  const two = await locker.acquire({ uploadId: 'two' });
  await one();
  await two();
});
