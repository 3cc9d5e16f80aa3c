/** A node is killed at the worst moments, held there by its S3 server or its database; the client goes on at the other. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { ControlCommand } from '../../src/dev-s3/control-route.ts';
import type { DevS3Process } from '../support/dev-s3-process.ts';
import { createUpload, patch } from '../support/tus-client.ts';
import {
  committedBytes,
  MIB,
  type NodePair,
  on,
  PART_BYTES,
  startDevBucket,
  startNodePair,
} from './support/node-pair.ts';
import { finish } from './support/patient-client.ts';
import { until } from './support/until.ts';

type Rules = NonNullable<ControlCommand['rules']>;
type Operation = Rules[number]['operation'];

test('one of two nodes is killed', async (t) => {
  const { s3, bucket } = await startDevBucket(t);
  const pair = await startNodePair(t, bucket);

  for (const when of ['received', 'done'] as const) {
    await t.test(`in the middle of a part, which S3 has ${when === 'done' ? 'stored' : 'not stored'}`, async () => {
      const content = randomBytes(3 * PART_BYTES + MIB);
      const url = await createUpload(`${pair.a.url}/files`, content.length);
      const before = await committedBytes(pair.a);
      const first = () => until('the first is committed', async () => (await committedBytes(pair.a)) > before);
      await killAtCall(pair, s3, { operation: 'UploadPart', when, skip: 1 }, () => patch(url, 0, content), first);
      await goOnAtTheOther(pair, url, content, PART_BYTES);
    });

    await t.test(`in a completion, which S3 has ${when === 'done' ? 'carried out' : 'not carried out'}`, async () => {
      const content = randomBytes(2 * PART_BYTES);
      const url = await createUpload(`${pair.a.url}/files`, content.length);
      await killAtCall(pair, s3, { operation: 'CompleteMultipartUpload', when }, () => patch(url, 0, content));
      await goOnAtTheOther(pair, url, content, content.length);
    });

    await t.test(
      `in the PutObject of a small file, which S3 has ${when === 'done' ? 'stored' : 'not stored'}`,
      async () => {
        const content = randomBytes(MIB);
        const url = await createUpload(`${pair.a.url}/files`, content.length);
        assert.equal((await patch(url, 0, content.subarray(0, 1_000))).status, 204);
        await killAtCall(pair, s3, { operation: 'PutObject', when }, async () => {
          await patch(url, 1_000, content.subarray(1_000)).catch(() => null);
        });
        await goOnAtTheOther(pair, url, content, 1_000);
      },
    );
  }

  for (const bytes of [MIB, 2 * PART_BYTES]) {
    await t.test(`in the transaction that finishes an upload of ${bytes / MIB} MiB`, async (t) => {
      const content = randomBytes(bytes);
      const url = await createUpload(`${pair.a.url}/files`, content.length);
      await killInTransaction(t, pair, () => patch(url, 0, content));
      await goOnAtTheOther(pair, url, content, 0);
    });
  }

  await t.test('with uploads in every state under way: each one goes on at the other', async () => {
    const contents = [1_000, MIB, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES, 4 * PART_BYTES].map((it) =>
      randomBytes(it),
    );
    const urls = await Promise.all(contents.map((it) => createUpload(`${pair.a.url}/files`, it.length)));
    const before = await committedBytes(pair.a);
    const cut = urls.map((url, index) => patch(url, 0, contents[index] as Buffer).catch(() => null));
    await until('some of it is committed', async () => (await committedBytes(pair.a)) - before >= 2 * PART_BYTES);
    await pair.a.kill();
    const acknowledged = (await Promise.all(cut)).map((answer) => Number(answer?.headers['upload-offset'] ?? 0));
    await Promise.all(
      urls.map((url, index) => finish(on(pair.b, url), contents[index] as Buffer, acknowledged[index])),
    );
    await pair.a.start();
    for (const [index, url] of urls.entries()) await pair.assertFile(url, contents[index] as Buffer);
    await pair.assertNothingElse();
  });

  assert.deepEqual(pair.b.loggedErrors(), []);
});

/** Kills node A while a call of its is held by S3. What was held goes on when the node is gone. */
async function killAtCall(
  { a }: NodePair,
  s3: DevS3Process,
  { operation, when, skip = 0 }: { operation: Operation; when: 'received' | 'done'; skip?: number },
  send: () => Promise<unknown>,
  untilReady = async () => {},
): Promise<void> {
  const name = operation as keyof Awaited<ReturnType<DevS3Process['control']>>;
  await s3.control({
    clear: true,
    resetCounts: true,
    rules: [{ operation, skip, times: 1, action: { kind: 'hang', when } }],
  });
  const sent = send().catch(() => null);
  await until(`${name} is held`, async () => ((await s3.control({}))[name] ?? 0) > skip);
  await untilReady();
  await a.kill();
  await sent;
  await s3.control({ clear: true });
}

/** Kills node A while the transaction that writes the file's record waits for the table. */
async function killInTransaction(
  t: TestContext,
  { a, catalog }: NodePair,
  send: () => Promise<unknown>,
): Promise<void> {
  const blocker = await catalog.connect();
  t.after(() => blocker.release());
  await blocker.query('BEGIN');
  await blocker.query('LOCK TABLE files IN EXCLUSIVE MODE');
  const sent = send().catch(() => null);
  await until('it waits for the table', async () => {
    const { rows } = await catalog.query(`
      SELECT 1 FROM pg_locks WHERE relation = 'files'::regclass AND NOT granted`);
    return rows.length > 0;
  });
  await a.kill();
  await sent;
  await blocker.query('ROLLBACK');
}

/** @param acknowledged bytes that are stored for certain */
async function goOnAtTheOther(pair: NodePair, url: string, content: Buffer, acknowledged: number): Promise<void> {
  await finish(on(pair.b, url), content, acknowledged);
  await pair.a.start();
  await pair.assertFile(url, content);
  await pair.assertNothingElse();
}
