/** Two processes on one Postgres, and no Redis: they wait for one another, and ask one another, through Postgres. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { exchange } from '../support/http-exchange.ts';
import { Scrape } from '../support/read-metrics.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { createUpload, head, OFFSET_BODY, openPatch, patch, TUS, terminate } from '../support/tus-client.ts';
import { committedBytes, MIB, on, PART_BYTES, startDevBucket, startNodePair, uploadIdOf } from './support/node-pair.ts';
import { Pace, pacedReader } from './support/paced-file.ts';
import { finish, offsetAt } from './support/patient-client.ts';
import { Tally, uploadByStockClient } from './support/stock-client.ts';
import { until } from './support/until.ts';

/** Longer than the silence after which a writer would be taken over. */
const SLOW_S3_MS = 16_000;

test('two nodes without Redis', async (t) => {
  const { s3, bucket } = await startDevBucket(t);
  const pair = await startNodePair(t, bucket, { withoutRedis: true });
  const { a, b } = pair;
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  await until('the nodes hear one another', async () => (await degraded(a)) === 0 && (await degraded(b)) === 0);

  await t.test(
    'a client that comes to the other node gets every byte that its hanging connection had brought',
    async () => {
      const content = randomBytes(2 * PART_BYTES + MIB);
      const url = await createUpload(`${a.url}/files`, content.length);
      const before = await committedBytes(a);
      const hanging = await openPatch(on(a, url), 0, content.length);
      const arrived = PART_BYTES + MIB;
      await hanging.send(content.subarray(0, arrived));
      await until('its whole part is committed', async () => (await committedBytes(a)) - before === PART_BYTES);
      const asked = await head(on(b, url));
      assert.equal(asked.status, 200, 'at the first try');
      assert.equal(asked.headers['upload-offset'], String(arrived));
      assert.equal((await hanging.answer()).status, 423);
      assert.equal((await patch(on(b, url), arrived, content.subarray(arrived))).status, 204);
      await pair.assertFile(url, content);
      await pair.assertNothingElse();
    },
  );

  await t.test('a PATCH at one node waits for the one at the other, and does not end it', async () => {
    const content = randomBytes(PART_BYTES + MIB);
    const url = await createUpload(`${a.url}/files`, content.length);
    const headers = { ...TUS, ...OFFSET_BODY, 'Upload-Offset': 0, 'Content-Length': content.length };
    const running = request(on(a, url), { method: 'PATCH', agent: false, headers });
    running.write(content.subarray(0, MIB));
    const uploadId = uploadIdOf(url);
    await until('it has claimed', async () => {
      const { rows } = await pair.catalog.query('SELECT writer FROM uploads WHERE id = $1', [uploadId]);
      return rows[0].writer !== null;
    });
    const newcomer = patch(on(b, url), 0, randomBytes(content.length));
    // What is asked of the same node afterwards has been answered: the newcomer has met the writer by then.
    await finish(await createUpload(`${b.url}/files`, 1_000), randomBytes(1_000));
    const [answer] = await once(running.end(content.subarray(MIB)), 'response');
    assert.equal(answer.statusCode, 204);
    assert.equal((await newcomer).status, 409);
    await pair.assertFile(url, content);
  });

  for (const [name, first, second] of [
    ['a', a, b],
    ['b', b, a],
  ] as const) {
    await t.test(`two stubborn clients on one upload, ${name} first, both come to its end`, async () => {
      const content = randomBytes(3 * PART_BYTES + MIB);
      const url = await createUpload(`${first.url}/files`, content.length);
      const pace = new Pace();
      const tally = new Tally();
      const send = (node: ServerProcess) =>
        uploadByStockClient(content, `${node.url}/files`, agent, tally, {
          uploadUrl: on(node, url),
          fileReader: pacedReader(content, pace),
          retryDelays: Array.from({ length: 30 }, () => 200),
        });
      const before = (await committedBytes(a)) + (await committedBytes(b));
      const one = send(first);
      await until('the first one is at it', async () => tally.sum((what) => what === 'HEAD 200') > 0);
      const other = send(second);
      // A PATCH waits for the running one, then its client asks, and takes its turn.
      await eventually('each has been in the other’s way', async () =>
        tally.sum((what) => what === 'PATCH 423') >= 2 ? true : undefined,
      );
      const moved = (await committedBytes(a)) + (await committedBytes(b)) - before;
      assert.ok(moved > 0, `nothing was stored meanwhile: ${tally}`);
      pace.free();
      await Promise.all([one, other]);
      await pair.assertFile(url, content);
      assert.equal(await takeovers([a, b]), 0, 'nobody was fenced');
      await pair.assertNothingElse();
    });
  }

  await t.test(
    'a writer whose S3 takes long at the end is not taken over: a stubborn client waits for it',
    async () => {
      const content = randomBytes(MIB);
      const url = await createUpload(`${a.url}/files`, content.length);
      const rule = {
        operation: 'PutObject',
        times: 1,
        action: { kind: 'delay', ms: SLOW_S3_MS, when: 'done' },
      } as const;
      await s3.control({ rules: [rule] });
      const ending = patch(url, 0, content);
      await until('S3 has it', async () => ((await s3.control({})).PutObject ?? 0) > 0);
      await finish(on(b, url), content);
      assert.equal((await ending).status, 204);
      assert.equal(await takeovers([a, b]), 0);
      await pair.assertFile(url, content);
    },
  );

  await t.test('an upload that is deleted at one node is gone at the other, whose running PATCH ends', async () => {
    const url = await createUpload(`${a.url}/files`, 2 * PART_BYTES);
    const before = await committedBytes(a);
    const hanging = await openPatch(on(a, url), 0, 2 * PART_BYTES);
    await hanging.send(randomBytes(PART_BYTES + MIB));
    await until('its whole part is committed', async () => (await committedBytes(a)) - before === PART_BYTES);
    assert.equal((await terminate(on(b, url))).status, 204);
    await hanging.answer();
    for (const node of [a, b]) assert.equal((await head(on(node, url))).status, 410);
    await pair.assertNothingElse();
  });

  await t.test(
    'when the connections for messages are cut, they are made again, and the nodes hear one another',
    async () => {
      await pair.catalog.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tus-relay-messages'`,
      );
      const outages = async (node: ServerProcess) => metric(node, 'tus_relay_lock_outages_total');
      await until('both have noticed', async () => (await outages(a)) === 1 && (await outages(b)) === 1);
      await until('both are back', async () => (await degraded(a)) === 0 && (await degraded(b)) === 0);
      const content = randomBytes(2 * PART_BYTES);
      const url = await createUpload(`${a.url}/files`, content.length);
      const hanging = await openPatch(on(a, url), 0, content.length);
      await hanging.send(content.subarray(0, MIB));
      await until('it is there', async () => {
        const { rows } = await pair.catalog.query('SELECT writer FROM uploads WHERE id = $1', [uploadIdOf(url)]);
        return rows[0].writer !== null;
      });
      await finish(on(b, url), content);
      assert.equal((await hanging.answer()).status, 423);
      await pair.assertFile(url, content);
      await pair.assertNothingElse();
    },
  );

  await t.test('a node is killed: the client goes on at the other', async () => {
    const content = randomBytes(2 * PART_BYTES + MIB);
    const url = await createUpload(`${a.url}/files`, content.length);
    const before = await committedBytes(a);
    const hanging = await openPatch(on(a, url), 0, content.length);
    await hanging.send(content.subarray(0, PART_BYTES + MIB));
    await until('its whole part is committed', async () => (await committedBytes(a)) - before === PART_BYTES);
    await a.kill();
    assert.equal(await offsetAt(on(b, url)), PART_BYTES);
    await finish(on(b, url), content, PART_BYTES);
    await a.start();
    await pair.assertFile(url, content);
    await pair.assertNothingElse();
  });

  assert.deepEqual([...a.loggedErrors(), ...b.loggedErrors()], []);
});

async function metric(node: ServerProcess, name: string): Promise<number | undefined> {
  const { body } = await exchange(`${node.url}/metrics`, { method: 'GET' });
  return new Scrape(body.toString()).find(name);
}

const degraded = (node: ServerProcess) => metric(node, 'tus_relay_lock_degraded');

async function takeovers(nodes: readonly ServerProcess[]): Promise<number> {
  const each = await Promise.all(nodes.map((node) => metric(node, 'tus_relay_writer_takeovers_total')));
  return each.reduce<number>((sum, it) => sum + (it ?? 0), 0);
}
