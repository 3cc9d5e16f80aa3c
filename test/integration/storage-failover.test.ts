/** The real server while its S3 endpoint leads to another server with the same bucket for a while, and then back. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { S3ObjectStorage } from '../../src/s3/s3-object-storage.ts';
import { DEV_S3_CREDENTIALS, DEV_S3_REGION, startTestDevS3 } from '../support/dev-s3.ts';
import { eventually } from '../support/eventually.ts';
import { exchange } from '../support/http-exchange.ts';
import { prepareServer } from '../support/server-process.ts';
import { startSwitchedEndpoint } from '../support/switched-endpoint.ts';
import { patternBytes } from '../support/test-relay.ts';
import { createUpload, head, OFFSET_BODY, patch, post, terminate } from '../support/tus-client.ts';

const BUCKET = 'failover';
const MIB = 2 ** 20;
const FILE_BYTES = 12 * MIB;

async function setUp(t: TestContext) {
  const [ours, other] = [
    await startTestDevS3(t, { buckets: [BUCKET] }),
    await startTestDevS3(t, { buckets: [BUCKET] }),
  ];
  const endpoint = await startSwitchedEndpoint(t, ours.port);
  const server = await prepareServer(t, {
    env: {
      S3_BUCKET: BUCKET,
      S3_ENDPOINT: endpoint.url,
      S3_FORCE_PATH_STYLE: 'true',
      AWS_REGION: DEV_S3_REGION,
      AWS_ACCESS_KEY_ID: DEV_S3_CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: DEV_S3_CREDENTIALS.secretAccessKey,
    },
  });
  const [ourBucket, otherBucket] = [ours.url, other.url].map(
    (url) =>
      new S3ObjectStorage({
        ...{ bucket: BUCKET, region: DEV_S3_REGION, endpoint: url, forcePathStyle: true },
        ...{ credentials: DEV_S3_CREDENTIALS, payloadSigning: 'auto' as const, maxSockets: 4 },
      }),
  ) as [S3ObjectStorage, S3ObjectStorage];
  t.after(() => {
    for (const bucket of [ourBucket, otherBucket]) bucket.close();
  });
  return {
    ...{ ours, other, endpoint, server, ourBucket, otherBucket },
    isReady: async () => (await fetch(`${server.url}/readyz`)).ok,
  };
}

const get = (url: string) => exchange(url, { method: 'GET' });

/** As replication does it: objects, and no multipart uploads. */
async function copyObjects(from: S3ObjectStorage, to: S3ObjectStorage): Promise<void> {
  for (const { key } of (await from.listObjects('')).objects) {
    const opened = await from.getObject(key);
    assert.ok(opened);
    const bytes = Buffer.concat(await opened.body.toArray());
    await to.putObject(key, { bytes: bytes.length, read: () => [bytes] }, {});
  }
}

for (const kind of ['empty', 'replica'] as const) {
  test(`uploads, files and leftovers survive that the endpoint leads to another storage for a while (${kind})`, async (t) => {
    const { ours, other, endpoint, server, ourBucket, otherBucket, isReady } = await setUp(t);
    await server.start();
    const files = `${server.url}/files`;
    const [content, small] = [patternBytes(FILE_BYTES), patternBytes(1_000, 2)];
    const finished = await createUpload(files, small.length);
    assert.equal((await patch(finished, 0, small)).status, 204);
    const upload = await createUpload(files, FILE_BYTES);
    assert.equal((await patch(upload, 0, content.subarray(0, 7 * MIB))).status, 204);
    const ended = await createUpload(files, FILE_BYTES);
    assert.equal((await patch(ended, 0, content.subarray(0, 7 * MIB))).status, 204);
    await eventually('the marker', async () => (await ourBucket.headObject('uploads/.tus-relay-catalog')) ?? undefined);
    if (kind === 'replica') await copyObjects(ourBucket, otherBucket);

    endpoint.leadTo(other.port);
    await eventually('not ready', async () => ((await isReady()) ? undefined : true));
    const stopped = await patch(upload, 7 * MIB, content.subarray(7 * MIB));
    assert.equal(stopped.status, 503);
    assert.ok(Number(stopped.headers['retry-after']) > 0);
    assert.equal((await post(files, { 'Upload-Length': 10, ...OFFSET_BODY }, small.subarray(0, 10))).status, 503);
    assert.equal((await get(finished)).status, kind === 'empty' ? 503 : 200);
    assert.equal((await terminate(ended)).status, 204);
    // It waits for ten seconds first.
    if (kind === 'empty') assert.equal((await head(upload)).status, 423);
    assert.equal((await head(finished)).status, 200);
    assert.deepEqual((await otherBucket.listObjects('')).objects.length, kind === 'empty' ? 0 : 4);

    endpoint.leadTo(ours.port);
    await eventually('ready again', async () => ((await isReady()) ? true : undefined));
    assert.equal((await patch(upload, 7 * MIB, content.subarray(7 * MIB))).status, 204);
    assert.ok((await get(upload)).body.equals(content));
    assert.ok((await get(finished)).body.equals(small));
    const errors = server.loggedErrors();
    assert.equal(errors.length, 1, errors.join('\n'));
    assert.match(errors[0] ?? '', /the storage is not the one that uploads were written to/);
  });
}

test('a server that starts at another storage says so, stores nothing there, and goes on when it is led back', async (t) => {
  const { ours, other, endpoint, server, otherBucket, isReady } = await setUp(t);
  await server.start();
  const upload = await createUpload(`${server.url}/files`, 2_000);
  const content = patternBytes(2_000);
  assert.equal((await patch(upload, 0, content.subarray(0, 1_000))).status, 204);
  await server.stop();
  endpoint.leadTo(other.port);
  await server.start();
  const again = upload.replace(/:\d+/, `:${server.port}`);
  assert.equal(await isReady(), false);
  assert.equal((await patch(again, 1_000, content.subarray(1_000))).status, 503);
  assert.equal(server.loggedErrors().length, 1);
  const left = [...(await otherBucket.listObjects('')).objects];
  assert.deepEqual(left, []);
  endpoint.leadTo(ours.port);
  await eventually('ready', async () => ((await isReady()) ? true : undefined));
  assert.equal((await patch(again, 1_000, content.subarray(1_000))).status, 204);
  assert.ok((await get(again)).body.equals(content));
});
