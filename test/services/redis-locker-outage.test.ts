/** Redis away at the start, in mid-flight, silent, restarted, or turning us away. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StartError } from '../../src/errors.ts';
import { RedisLocker } from '../../src/locks/redis-locker.ts';
import { UploadLockedError } from '../../src/locks/upload-locker.ts';
import {
  type LoggedLine,
  openNode,
  openRedis,
  recordingLogger,
  SHORT_TIMES,
  startTestRedis,
  type TestNode,
  untilWaiting,
} from './support/redis-world.ts';
import { until } from './support/until.ts';

const uploadId = 'an-upload';

function levels(node: TestNode): string[] {
  return node.log.map((line) => line.level);
}

async function untilBack(...nodes: TestNode[]): Promise<void> {
  for (const node of nodes) await until('Redis is back', () => !node.locker.degraded);
}

async function untilLost(...nodes: TestNode[]): Promise<void> {
  for (const node of nodes) await until('Redis is lost', () => node.locker.degraded);
}

test('a start without Redis warns and serves, and takes Redis in use when it comes', async (t) => {
  const server = await startTestRedis(t);
  await server.down();
  const node = await openNode(t, server.url, { waitMs: 100 });
  assert.equal(node.locker.degraded, true);
  assert.deepEqual(levels(node), ['warn']);
  const release = await node.locker.acquire({ uploadId });
  // Inside the node the lock is a lock.
  await assert.rejects(node.locker.acquire({ uploadId }), UploadLockedError);
  assert.equal(node.locker.counters.fallbacks, 1);
  await server.up();
  await untilBack(node);
  assert.deepEqual(levels(node), ['warn', 'info']);
  assert.equal(node.locker.counters.outages, 1);
  // What was locked without Redis is locked there now.
  const other = await openNode(t, server.url, { waitMs: 100 });
  await assert.rejects(other.locker.acquire({ uploadId }), UploadLockedError);
  await release();
  await (await other.locker.acquire({ uploadId }))();
});

test('a lock that is held when Redis goes stays held, and is known again after a restart that forgot it', async (t) => {
  const server = await startTestRedis(t);
  const holder = await openNode(t, server.url, { waitMs: 200 });
  const other = await openNode(t, server.url, { waitMs: 200 });
  let asked = 0;
  const release = await holder.locker.acquire({ uploadId, onReleaseRequested: () => (asked += 1) });
  await server.down();
  await untilLost(holder, other);
  assert.equal(asked, 0, 'an outage is no reason to stop an upload');
  await assert.rejects(holder.locker.acquire({ uploadId }), UploadLockedError);
  await server.up();
  await untilBack(holder, other);
  await assert.rejects(other.locker.acquire({ uploadId }), UploadLockedError);
  assert.equal(holder.locker.counters.lost, 0);
  await release();
  await (await other.locker.acquire({ uploadId }))();
});

test('a lock that was released while Redis could not hear it is given back when it can', async (t) => {
  const server = await startTestRedis(t);
  const times = { ttlMs: 60_000 };
  const node = await openNode(t, server.url, times);
  const other = await openNode(t, server.url, times);
  const redis = openRedis(t, server.url);
  const release = await node.locker.acquire({ uploadId });
  await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await untilLost(node);
  await release();
  await untilBack(node, other);
  await (await other.locker.acquire({ uploadId }))();
  assert.equal(other.locker.counters.fallbacks, 0);
  assert.equal(other.locker.counters.expiryTakeovers, 0);
});

test('who waits when Redis goes gets the lock of its own node; each outage is logged once', async (t) => {
  const server = await startTestRedis(t);
  const holder = await openNode(t, server.url);
  const waiter = await openNode(t, server.url, { waitMs: 30_000 });
  const redis = openRedis(t, server.url);
  const release = await holder.locker.acquire({ uploadId });
  const waiting = waiter.locker.acquire({ uploadId });
  await untilWaiting(redis, uploadId, 1);
  await server.down();
  const releaseWaiter = await waiting;
  assert.equal(waiter.locker.counters.fallbacks, 1);
  for (const id of ['two', 'three', 'four']) await (await waiter.locker.acquire({ uploadId: id }))();
  assert.equal(waiter.locker.counters.fallbacks, 4);
  assert.deepEqual(levels(waiter), ['warn']);
  await releaseWaiter();
  await release();
  await server.up();
  await untilBack(holder, waiter);
  assert.deepEqual(levels(waiter), ['warn', 'info']);
  await (await waiter.locker.acquire({ uploadId }))();
  assert.equal(waiter.locker.counters.fallbacks, 4);
});

test('two nodes that both took the lock while Redis was away: one of them is told to let go', async (t) => {
  const server = await startTestRedis(t);
  const nodes = [await openNode(t, server.url), await openNode(t, server.url)];
  await server.down();
  await untilLost(...nodes);
  let asked = 0;
  const releases = await Promise.all(
    nodes.map((node) => node.locker.acquire({ uploadId, onReleaseRequested: () => (asked += 1) })),
  );
  await server.up();
  await untilBack(...nodes);
  await until('one is told', () => asked === 1);
  assert.equal(
    nodes.reduce((sum, node) => sum + node.locker.counters.lost, 0),
    1,
  );
  for (const release of releases) await release();
  for (const node of nodes) await (await node.locker.acquire({ uploadId }))();
});

test('a Redis that answers nothing costs one command’s time, not one an upload, and is used again when it answers', async (t) => {
  const server = await startTestRedis(t);
  const node = await openNode(t, server.url, { commandTimeoutMs: 500 });
  const other = await openNode(t, server.url);
  const release = await node.locker.acquire({ uploadId });
  server.pause();
  t.after(() => server.resume());
  const during = await node.locker.acquire({ uploadId: 'during' });
  assert.equal(node.locker.degraded, true);
  await (await node.locker.acquire({ uploadId: 'also-during' }))();
  await during();
  await release();
  assert.equal(node.locker.counters.fallbacks, 2);
  server.resume();
  await untilBack(node, other);
  // Whatever of it Redis executed late, all of it was given back.
  for (const id of [uploadId, 'during', 'also-during']) await (await other.locker.acquire({ uploadId: id }))();
  assert.equal(other.locker.counters.expiryTakeovers, 0);
});

for (const kind of ['pubsub', 'normal']) {
  test(`connections (${kind}) that break again and again cost nobody its turn and leave no lock behind`, async (t) => {
    const server = await startTestRedis(t);
    const redis = openRedis(t, server.url);
    const nodes = [await openNode(t, server.url), await openNode(t, server.url)];
    let inside = 0;
    let turns = 0;
    let overlaps = 0;
    const workers = Array.from({ length: 6 }, async (_, index) => {
      const { locker } = nodes[index % 2] as TestNode;
      for (let turn = 0; turn < 10; turn += 1) {
        const release = await locker.acquire({ uploadId });
        inside += 1;
        if (inside > 1) overlaps += 1;
        if (index === 0 && turn % 3 === 0) await redis.call('CLIENT', 'KILL', 'TYPE', kind, 'SKIPME', 'yes');
        turns += 1;
        inside -= 1;
        await release();
      }
    });
    await Promise.all(workers);
    assert.equal(turns, 60);
    // Without its commands a node is on its own for a moment; without messages a turn may be late, never double.
    if (kind === 'pubsub') assert.equal(overlaps, 0);
    await untilBack(...nodes);
    for (const node of nodes) await (await node.locker.acquire({ uploadId }))();
    await until('nothing stays behind', async () => (await redis.keys('tus-relay:*')).length === 0);
  });
}

const refused: [string, (url: URL) => void, RegExp][] = [
  ['a wrong password', (url) => (url.password = 'wrong-secret'), /the user name or the password is wrong/],
  ['no password', (url) => (url.password = ''), /it wants a password, and REDIS_URL has none/],
  [
    'a user that may not run scripts',
    (url) => {
      url.username = 'weak';
      url.password = 'weak-secret';
    },
    /the user lacks a permission/,
  ],
  [
    'a user that may not hear messages',
    (url) => {
      url.username = 'deaf';
      url.password = 'deaf-secret';
    },
    /the user lacks a permission/,
  ],
];

for (const [what, change, sentence] of refused) {
  test(`a start with ${what} ends with one clear sentence, without the password`, async (t) => {
    const server = await startTestRedis(t, { password: 'right-secret' });
    const redis = openRedis(t, server.url);
    await redis.call('ACL', 'SETUSER', 'weak', 'on', '>weak-secret', '~tus-relay:*', '&*', '+@all', '-@scripting');
    await redis.call('ACL', 'SETUSER', 'deaf', 'on', '>deaf-secret', '~tus-relay:*', 'resetchannels', '+@all');
    const url = new URL(server.url);
    change(url);
    const log: LoggedLine[] = [];
    await assert.rejects(RedisLocker.open(url.href, recordingLogger(log), SHORT_TIMES), (error) => {
      assert.ok(error instanceof StartError);
      assert.match(error.message, sentence);
      assert.match(error.message, new RegExp(`127.0.0.1:${server.port}`));
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
    assert.deepEqual(log, []);
  });
}

test('the right password, and a user with just the permissions that are named, are enough', async (t) => {
  const server = await startTestRedis(t, { password: 'right-secret' });
  const redis = openRedis(t, server.url);
  const commands = ['+@scripting', '+@sortedset', '+@hash', '+del', '+pexpire', '+time', '+publish', '+subscribe'];
  await redis.call('ACL', 'SETUSER', 'just', 'on', '>just', '~tus-relay:*', '&tus-relay:*', ...commands);
  const just = new URL(server.url);
  just.username = 'just';
  just.password = 'just';
  for (const url of [server.url, just.href]) {
    const node = await openNode(t, url);
    assert.equal(node.locker.degraded, false);
    await (await node.locker.acquire({ uploadId }))();
  }
});

test('a password that is changed while we run is said once, and uploads go on', async (t) => {
  const server = await startTestRedis(t, { password: 'right-secret' });
  const redis = openRedis(t, server.url);
  const node = await openNode(t, server.url);
  await redis.config('SET', 'requirepass', 'new-secret');
  await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await until('it is said', () => levels(node).includes('error'));
  await (await node.locker.acquire({ uploadId }))();
  assert.deepEqual(levels(node), ['warn', 'error']);
  assert.doesNotMatch(JSON.stringify(node.log), /secret/);
  await redis.config('SET', 'requirepass', 'right-secret');
  await untilBack(node);
});

test('a URL that is none of Redis’ ends the start', async () => {
  for (const url of ['http://user:secret@localhost', 'not a url']) {
    await assert.rejects(RedisLocker.open(url, recordingLogger([])), (error) => {
      assert.ok(error instanceof StartError);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
  }
});

test('a close gives back what is held, ends those who wait, and is quick without Redis, too', async (t) => {
  const server = await startTestRedis(t);
  const redis = openRedis(t, server.url);
  const closing = await openNode(t, server.url);
  const other = await openNode(t, server.url, { commandTimeoutMs: 500 });
  const third = await openNode(t, server.url);
  await closing.locker.acquire({ uploadId });
  const ended = assert.rejects(third.locker.acquire({ uploadId }), UploadLockedError);
  await untilWaiting(redis, uploadId, 1);
  await third.locker.close();
  await ended;
  await closing.locker.close();
  await (await other.locker.acquire({ uploadId }))();
  assert.equal(other.locker.counters.expiryTakeovers, 0);
  await assert.rejects(closing.locker.acquire({ uploadId }), UploadLockedError);
  await other.locker.acquire({ uploadId });
  server.pause();
  t.after(() => server.resume());
  const startedAt = performance.now();
  await other.locker.close();
  assert.ok(performance.now() - startedAt < 5_000);
});
