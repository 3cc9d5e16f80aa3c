/** The line for redis.conf in docs/operations.md gives a user all that a node needs, also after Redis has restarted. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { openNode, openRedis, startTestRedis } from './support/redis-world.ts';
import { until } from './support/until.ts';

const GUIDE = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');

test('with the documented user, nodes wait for each other, hand locks over, and do so after a restart of Redis', async (t) => {
  const line = /^user relay on >password .*$/m.exec(GUIDE)?.[0];
  assert.ok(line !== undefined, 'docs/operations.md has the line');
  const server = await startTestRedis(t, { config: `${line}\nuser default off\n` });
  const url = `redis://relay:password@127.0.0.1:${server.port}`;
  const nodes = [await openNode(t, url), await openNode(t, url)] as const;
  const handOver = async () => {
    const uploadId = randomUUID();
    let asked = false;
    const held = Promise.withResolvers<void>();
    const release = await nodes[0].locker.acquire({
      uploadId,
      onReleaseRequested: () => {
        asked = true;
        held.resolve();
      },
    });
    const waiting = nodes[1].locker.acquire({ uploadId });
    await held.promise;
    await release();
    await (await waiting)();
    assert.ok(asked);
  };
  await handOver();
  await server.restart();
  await until('both are back', async () =>
    nodes.every(({ locker }) => !locker.degraded && locker.counters.outages > 0),
  );
  await handOver();
  const refusals = nodes.flatMap(({ log }) => log).filter((it) => /NOPERM|WRONGPASS/.test(JSON.stringify(it)));
  assert.deepEqual(refusals, []);
  const stranger = openRedis(t, url);
  await assert.rejects(stranger.set('anything', '1'), /NOPERM/);
});
