/** Two processes on a real Redis, Postgres and S3 server: whichever node a request reaches, it is the same upload. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { test } from 'node:test';
import sharp from 'sharp';
import { ConnectionLostError, type Exchange } from '../support/http-exchange.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { createUpload, head, OFFSET_BODY, openPatch, patch, post, TUS, terminate } from '../support/tus-client.ts';
import { readEvents } from './support/event-reader.ts';
import {
  committedBytes,
  MIB,
  type NodePair,
  on,
  PART_BYTES,
  startNodePair,
  startRealBucket,
  uploadIdOf,
} from './support/node-pair.ts';
import { offsetAt } from './support/patient-client.ts';
import { openRedis, untilWaiting } from './support/redis-world.ts';
import { until } from './support/until.ts';

/** Of races of each size: who is first differs from one to the next. */
const RACES = 4;

test('two nodes', async (t) => {
  const pair = await startNodePair(t, await startRealBucket(t));
  const { a, b } = pair;
  const create = (node: ServerProcess, bytes: number) => createUpload(`${node.url}/files`, bytes);

  await t.test('each PATCH to the other node: parts, tails and merges in turn', async () => {
    const content = randomBytes(17 * MIB + 3);
    const url = await create(a, content.length);
    const cuts = [MIB, 1, PART_BYTES, 3 * MIB, 2 * MIB - 1, 4 * MIB, 7, content.length];
    await sendInTurn(pair, url, content, cuts, [b, a]);
    await pair.assertFile(url, content);
    await pair.assertNothingElse();
  });

  await t.test(
    'a tail written by one node is merged by the other, into a part or into the whole of a small file',
    async () => {
      const big = randomBytes(2 * PART_BYTES);
      const bigUrl = await create(a, big.length);
      await sendInTurn(pair, bigUrl, big, [2 * MIB, PART_BYTES + 1, MIB, big.length], [a, b]);
      const small = randomBytes(3_000);
      const smallUrl = await create(b, small.length);
      await sendInTurn(pair, smallUrl, small, [1_000, 1_000, 1_000], [a, b]);
      await pair.assertFile(bigUrl, big);
      await pair.assertFile(smallUrl, small);
      await pair.assertNothingElse();
    },
  );

  await t.test(
    'a length that was deferred at one node is told to the other, with bytes and after the last of them',
    async () => {
      for (const lastBytes of [PART_BYTES, 0]) {
        const content = randomBytes(PART_BYTES + MIB + lastBytes);
        const created = await post(`${a.url}/files`, { 'Upload-Defer-Length': 1 });
        const url = String(created.headers.location);
        const untold = content.length - lastBytes;
        assert.equal((await patch(url, 0, content.subarray(0, untold))).status, 204);
        assert.equal((await head(on(b, url))).headers['upload-defer-length'], '1');
        const told = await patch(on(b, url), untold, content.subarray(untold), { 'Upload-Length': content.length });
        assert.equal(told.status, 204);
        assert.equal((await head(url)).headers['upload-length'], String(content.length));
        await pair.assertFile(url, content);
      }
      await pair.assertNothingElse();
    },
  );

  for (const bytes of [1_000, PART_BYTES - 1, 2 * PART_BYTES + MIB]) {
    await t.test(
      `two clients race, each with its own ${bytes} bytes in one PATCH: one of the two files wins`,
      async () => {
        for (let race = 0; race < RACES; race++) {
          const files = [randomBytes(bytes), randomBytes(bytes)] as const;
          const url = await create(a, bytes);
          const answers = await Promise.all([patchOrLost(on(a, url), files[0]), patchOrLost(on(b, url), files[1])]);
          const statuses = answers.map((answer) => answer?.status ?? 0);
          const winners = files.filter((_, index) => statuses[index] === 204);
          assert.equal(winners.length, 1, `answers ${statuses}`);
          await pair.assertFile(url, winners[0] as Buffer);
        }
        await pair.assertNothingElse();
      },
    );
  }

  await t.test(
    'a half-open connection to one node is taken over by the other, which keeps what had arrived',
    async () => {
      const content = randomBytes(2 * PART_BYTES + MIB);
      const url = await create(a, content.length);
      const before = await committedBytes(a);
      const hanging = await openPatch(on(a, url), 0, content.length);
      const arrived = PART_BYTES + MIB;
      await hanging.send(content.subarray(0, arrived));
      await until('its whole part is committed', async () => (await committedBytes(a)) - before === PART_BYTES);
      assert.equal(await offsetAt(on(b, url)), arrived);
      assert.equal((await hanging.answer()).status, 423);
      assert.equal((await patch(on(b, url), arrived, content.subarray(arrived))).status, 204);
      await pair.assertFile(url, content);
      await pair.assertNothingElse();
    },
  );

  await t.test(
    'a PATCH that comes to one node waits for the one that is running at the other, and does not end it',
    async (t) => {
      const redis = openRedis(t, pair.redis.url);
      const content = randomBytes(PART_BYTES + MIB);
      const url = await create(a, content.length);
      const headers = { ...TUS, ...OFFSET_BODY, 'Upload-Offset': 0, 'Content-Length': content.length };
      const running = request(on(a, url), { method: 'PATCH', agent: false, headers });
      running.write(content.subarray(0, MIB));
      await until('it holds the lock', async () => (await redis.exists(`tus-relay:lock:{${uploadIdOf(url)}}`)) === 1);
      const newcomer = patch(on(b, url), 0, randomBytes(content.length));
      await untilWaiting(redis, uploadIdOf(url), 1);
      const [answer] = await once(running.end(content.subarray(MIB)), 'response');
      assert.equal(answer.statusCode, 204);
      assert.equal((await newcomer).status, 409);
      await pair.assertFile(url, content);
      await pair.assertNothingElse();
    },
  );

  await t.test(
    'a browser at one node hears everything of an upload at the other: progress, end, thumbnails, removal',
    async (t) => {
      const photo = await sharp({ create: { width: 900, height: 600, channels: 3, background: 'teal' } })
        .png({ compressionLevel: 0 })
        .toBuffer();
      const reader = await readEvents(t, b);
      const url = await create(a, photo.length);
      const id = uploadIdOf(url);
      const heard = (type: string) =>
        reader.heard.filter(
          ({ type: one, data }) => one === type && (data.uploadId ?? data.id ?? fileIdOf(data)) === id,
        );
      assert.equal((await patch(url, 0, photo.subarray(0, 1_000))).status, 204);
      await until('progress is heard', () => heard('progress').some(({ data }) => data.offset === 1_000));
      assert.equal((await patch(url, 1_000, photo.subarray(1_000))).status, 204);
      await until('the end is heard', () => heard('finished').length === 1);
      await until('the thumbnails are heard', () => heard('thumbnails').length === 1);
      await pair.assertFile(url, photo);
      assert.equal((await terminate(url)).status, 204);
      await until('the removal is heard', () => heard('deleted').length === 1);
      const types = reader.heard.filter(({ data }) => (data.uploadId ?? data.id ?? fileIdOf(data)) === id);
      assert.deepEqual(
        types.map(({ type }) => type).filter((type, index, all) => type !== all[index - 1]),
        ['progress', 'finished', 'thumbnails', 'deleted'],
      );
      await pair.assertNothingElse();
    },
  );

  await t.test(
    'an upload that is deleted at one node is gone at the other, whose running PATCH stores no more',
    async () => {
      const url = await create(a, 2 * PART_BYTES);
      const before = await committedBytes(a);
      const hanging = await openPatch(on(a, url), 0, 2 * PART_BYTES);
      await hanging.send(randomBytes(PART_BYTES + MIB));
      await until('its whole part is committed', async () => (await committedBytes(a)) - before === PART_BYTES);
      assert.equal((await terminate(on(b, url))).status, 204);
      await hanging.answer();
      for (const node of [a, b]) assert.equal((await head(on(node, url))).status, 410);
      await pair.assertNothingElse();
    },
  );

  assert.deepEqual([...a.loggedErrors(), ...b.loggedErrors()], []);
});

/** Each piece at the next node, and the offset asked for at the other one. */
async function sendInTurn(
  { a, b }: NodePair,
  url: string,
  content: Buffer,
  cuts: readonly number[],
  nodes: readonly ServerProcess[],
): Promise<void> {
  let offset = 0;
  for (const [index, bytes] of cuts.entries()) {
    const node = nodes[index % nodes.length] as ServerProcess;
    const end = Math.min(offset + bytes, content.length);
    assert.equal((await patch(on(node, url), offset, content.subarray(offset, end))).status, 204);
    offset = end;
    const other = node === a ? b : a;
    assert.equal((await head(on(other, url))).headers['upload-offset'], String(offset));
  }
  assert.equal(offset, content.length);
}

/** null: the connection was closed under a body that was not wanted any more. */
async function patchOrLost(url: string, body: Buffer): Promise<Exchange | null> {
  try {
    return await patch(url, 0, body);
  } catch (error) {
    if (error instanceof ConnectionLostError) return null;
    throw error;
  }
}

function fileIdOf({ file }: Record<string, unknown>): unknown {
  return (file as { id?: string } | undefined)?.id;
}
