/** Redis is killed and comes back while two nodes take uploads: it makes waiting pleasant, and keeps no byte (V6). */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { exchange } from '../support/http-exchange.ts';
import { Scrape } from '../support/read-metrics.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { createUpload, openPatch, patch } from '../support/tus-client.ts';
import { committedBytes, MIB, on, PART_BYTES, startNodePair, startRealBucket } from './support/node-pair.ts';
import { finish, offsetAt } from './support/patient-client.ts';
import { until } from './support/until.ts';

const RACES = 3;

test('two nodes lose their Redis', async (t) => {
  const pair = await startNodePair(t, await startRealBucket(t));
  const { a, b, redis } = pair;

  await t.test('restarted in the midst of uploads, it has forgotten every lock: they go on all the same', async () => {
    const contents = [2 * PART_BYTES + MIB, 2 * PART_BYTES, PART_BYTES + 1].map((bytes) => randomBytes(bytes));
    const urls = await Promise.all(contents.map((it) => createUpload(`${a.url}/files`, it.length)));
    const before = await committedBytes(a);
    const running = await Promise.all(urls.map((url, index) => openPatch(url, 0, (contents[index] as Buffer).length)));
    const halves = contents.map((it) => it.subarray(0, PART_BYTES));
    await Promise.all(running.map((open, index) => open.send(halves[index] as Buffer)));
    await until('their first parts are committed', async () => {
      return (await committedBytes(a)) - before === contents.length * PART_BYTES;
    });
    await redis.restart();
    await until('both nodes use it again', async () => (await withRedis(a)) && (await withRedis(b)));
    // The other node, which knows of none of these locks but through Redis.
    await Promise.all(urls.map((url, index) => finish(on(b, url), contents[index] as Buffer, PART_BYTES)));
    for (const open of running) open.vanish();
    for (const [index, url] of urls.entries()) await pair.assertFile(url, contents[index] as Buffer);
    await pair.assertNothingElse();
  });

  await redis.down();
  await until('both nodes do without it', async () => !(await withRedis(a)) && !(await withRedis(b)));

  await t.test('without it, each PATCH to the other node', async () => {
    const content = randomBytes(2 * PART_BYTES + MIB);
    const url = await createUpload(`${a.url}/files`, content.length);
    for (let offset = 0; offset < content.length; ) {
      const node = offset % (2 * MIB) === 0 ? b : a;
      const end = Math.min(offset + 3 * MIB, content.length);
      assert.equal((await patch(on(node, url), offset, content.subarray(offset, end))).status, 204);
      assert.equal(await offsetAt(on(node === a ? b : a, url)), end);
      offset = end;
    }
    await pair.assertFile(url, content);
  });

  await t.test(
    'without it, two clients race through both nodes: nothing of the two is mixed, and one wins',
    async () => {
      for (let race = 0; race < RACES; race++) {
        const files = [randomBytes(2 * PART_BYTES), randomBytes(2 * PART_BYTES)] as const;
        const url = await createUpload(`${a.url}/files`, files[0].length);
        const answers = await Promise.all(
          [a, b].map((node, index) => patch(on(node, url), 0, files[index] as Buffer).catch(() => null)),
        );
        const statuses = answers.map((answer) => answer?.status ?? 0);
        const winners = files.filter((_, index) => statuses[index] === 204);
        assert.equal(winners.length, 1, `answers ${statuses}`);
        await pair.assertFile(url, winners[0] as Buffer);
      }
      await pair.assertNothingElse();
    },
  );

  await t.test(
    'without it, a half-open connection to one node is taken over by the other, once it has been silent',
    async () => {
      const content = randomBytes(2 * PART_BYTES + MIB);
      const url = await createUpload(`${a.url}/files`, content.length);
      const before = await committedBytes(a);
      const hanging = await openPatch(on(a, url), 0, content.length);
      await hanging.send(content.subarray(0, PART_BYTES));
      await until('its part is committed', async () => (await committedBytes(a)) - before === PART_BYTES);
      hanging.vanish();
      await finish(on(b, url), content, PART_BYTES);
      await pair.assertFile(url, content);
      await pair.assertNothingElse();
    },
  );

  await redis.up();
  await until('both nodes use it again', async () => (await withRedis(a)) && (await withRedis(b)));
  await t.test('when it is back, a HEAD at one node gets in at once while a PATCH hangs at the other', async () => {
    const content = randomBytes(2 * PART_BYTES);
    const url = await createUpload(`${a.url}/files`, content.length);
    const before = await committedBytes(a);
    const hanging = await openPatch(on(a, url), 0, content.length);
    await hanging.send(content.subarray(0, PART_BYTES + MIB));
    await until('its part is committed', async () => (await committedBytes(a)) - before === PART_BYTES);
    assert.equal(await offsetAt(on(b, url)), PART_BYTES + MIB);
    assert.equal((await hanging.answer()).status, 423);
    await finish(on(b, url), content, PART_BYTES + MIB);
    await pair.assertFile(url, content);
    await pair.assertNothingElse();
  });

  assert.deepEqual([...a.loggedErrors(), ...b.loggedErrors()], []);
});

async function withRedis(node: ServerProcess): Promise<boolean> {
  const { body } = await exchange(`${node.url}/metrics`, { method: 'GET' });
  const degraded = new Scrape(body.toString()).find('tus_relay_lock_degraded');
  assert.ok(degraded !== undefined, 'the metric is gone');
  return degraded === 0;
}
