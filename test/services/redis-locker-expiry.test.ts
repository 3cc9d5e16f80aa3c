/** Holders that fall silent, and messages that do not arrive. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { UploadLockedError } from '../../src/locks/upload-locker.ts';
import { openNode, openRedis, startTestRedis, untilWaiting, waitingNodes } from './support/redis-world.ts';
import { startLockHolder } from './support/start-lock-holder.ts';
import { until } from './support/until.ts';

const uploadId = 'an-upload';
/** Long enough for a busy machine, short enough to wait for. */
const ttlMs = 1_500;

test('a lock is renewed for as long as it is held', async (t) => {
  const server = await startTestRedis(t);
  const holder = await openNode(t, server.url, { ttlMs });
  const other = await openNode(t, server.url, { ttlMs, waitMs: 2 * ttlMs });
  const release = await holder.locker.acquire({ uploadId });
  await assert.rejects(other.locker.acquire({ uploadId }), UploadLockedError);
  assert.equal(holder.locker.counters.lost, 0);
  await release();
  await (await other.locker.acquire({ uploadId }))();
  assert.equal(other.locker.counters.expiryTakeovers, 0);
});

test('the lock of a node that was killed goes to the next one when it expires', async (t) => {
  const server = await startTestRedis(t);
  const holder = await startLockHolder(t, server.url, uploadId, { ttlMs });
  const { locker } = await openNode(t, server.url, { ttlMs });
  holder.signal('SIGKILL');
  const release = await locker.acquire({ uploadId });
  assert.equal(locker.counters.expiryTakeovers, 1);
  await release();
});

test('a node that was paused for too long learns that it lost the lock, and cannot release the one that has it', async (t) => {
  const server = await startTestRedis(t);
  const paused = await startLockHolder(t, server.url, uploadId, { ttlMs });
  const second = await openNode(t, server.url, { ttlMs });
  const third = await openNode(t, server.url, { ttlMs, waitMs: 500 });
  paused.signal('SIGSTOP');
  const release = await second.locker.acquire({ uploadId });
  assert.equal(second.locker.counters.expiryTakeovers, 1);
  paused.signal('SIGCONT');
  assert.equal(await paused.line(), 'asked');
  paused.release();
  assert.equal(await paused.line(), 'released, lost 1');
  await assert.rejects(third.locker.acquire({ uploadId }), UploadLockedError);
  await release();
  await (await third.locker.acquire({ uploadId }))();
});

test('a holder whose lock another one has learns it at its next renewal, without any message', async (t) => {
  const server = await startTestRedis(t);
  const redis = openRedis(t, server.url);
  const { locker } = await openNode(t, server.url);
  const asked = Promise.withResolvers<void>();
  const release = await locker.acquire({ uploadId, onReleaseRequested: () => asked.resolve() });
  const key = `tus-relay:lock:{${uploadId}}`;
  await redis.hset(key, 'token', 'other-node/token');
  await asked.promise;
  assert.equal(locker.counters.lost, 1);
  await release();
  assert.equal(await redis.hget(key, 'token'), 'other-node/token');
  assert.equal(locker.counters.lost, 1, 'counted once');
});

test('a pause that is shorter than the lock lasts costs nothing', async (t) => {
  const server = await startTestRedis(t);
  const times = { ttlMs: 20_000 };
  const paused = await startLockHolder(t, server.url, uploadId, times);
  const redis = openRedis(t, server.url);
  const { locker } = await openNode(t, server.url, times);
  paused.signal('SIGSTOP');
  const waiting = locker.acquire({ uploadId });
  await untilWaiting(redis, uploadId, 1);
  paused.signal('SIGCONT');
  assert.equal(await paused.line(), 'asked');
  paused.release();
  assert.equal(await paused.line(), 'released, lost 0');
  await (await waiting)();
});

test('a lock that expired, and that nobody took, is its holder’s again', async (t) => {
  const server = await startTestRedis(t);
  // So rarely renewed that it expires in between.
  const holder = await openNode(t, server.url, { ttlMs: 100, renewEveryMs: 600 });
  const redis = openRedis(t, server.url);
  const key = `tus-relay:lock:{${uploadId}}`;
  let asked = 0;
  const release = await holder.locker.acquire({ uploadId, onReleaseRequested: () => (asked += 1) });
  const first = Number(await redis.hget(key, 'until'));
  await until('it is renewed', async () => Number(await redis.hget(key, 'until')) > first);
  assert.ok(Number(await redis.hget(key, 'until')) > first + 100, 'it had expired before');
  assert.equal(holder.locker.counters.lost, 0);
  assert.equal(asked, 0);
  await release();
  assert.equal(await redis.exists(key), 0);
});

test('a holder is asked to let go although the message was lost: the next renewal shows that others wait', async (t) => {
  const server = await startTestRedis(t);
  const holder = await openNode(t, server.url);
  const redis = openRedis(t, server.url);
  const asked = Promise.withResolvers<void>();
  const release = await holder.locker.acquire({ uploadId, onReleaseRequested: () => asked.resolve() });
  // What a waiter leaves in Redis, without its message.
  const [secs = 0] = (await redis.time()).map(Number);
  await redis.zadd(`tus-relay:order:{${uploadId}}`, 1, 'other-node/token');
  await redis.zadd(`tus-relay:seen:{${uploadId}}`, secs * 1_000 + 60_000, 'other-node/token');
  await asked.promise;
  await release();
});

test('a waiter gets its turn although the message was lost: it asks again', async (t) => {
  const server = await startTestRedis(t);
  const holder = await openNode(t, server.url, { ttlMs: 60_000, renewEveryMs: 60_000 });
  const waiter = await openNode(t, server.url);
  const redis = openRedis(t, server.url);
  await holder.locker.acquire({ uploadId });
  const waiting = waiter.locker.acquire({ uploadId });
  await untilWaiting(redis, uploadId, 1);
  // A release that tells nobody.
  await redis.del(`tus-relay:lock:{${uploadId}}`);
  await (await waiting)();
});

test('a waiter that died keeps nobody from the lock', async (t) => {
  const server = await startTestRedis(t);
  const redis = openRedis(t, server.url);
  const holder = await openNode(t, server.url);
  const release = await holder.locker.acquire({ uploadId });
  const dying = await openNode(t, server.url);
  const lost = assert.rejects(dying.locker.acquire({ uploadId }), UploadLockedError);
  await untilWaiting(redis, uploadId, 1);
  const next = await openNode(t, server.url);
  const waiting = next.locker.acquire({ uploadId });
  await untilWaiting(redis, uploadId, 2);
  // Its place stays in the queue, but nobody asks for it any more.
  const [first = ''] = await redis.zrange(`tus-relay:order:{${uploadId}}`, '0', '0');
  await dying.locker.close();
  await lost;
  await redis.zadd(`tus-relay:order:{${uploadId}}`, 0, first);
  await redis.zadd(`tus-relay:seen:{${uploadId}}`, Date.now() - 1_000, first);
  await release();
  await (await waiting)();
});

test('of the requests that wait on one node, Redis sees one', async (t) => {
  const server = await startTestRedis(t);
  const redis = openRedis(t, server.url);
  const holder = await openNode(t, server.url);
  const { locker } = await openNode(t, server.url);
  const release = await holder.locker.acquire({ uploadId });
  const waiting = [1, 2, 3].map(() => locker.acquire({ uploadId }));
  await untilWaiting(redis, uploadId, 1);
  await sleep(50);
  assert.equal(await waitingNodes(redis, uploadId), 1);
  await release();
  for (const lock of waiting) await (await lock)();
  assert.deepEqual(await redis.keys('tus-relay:*'), []);
});
