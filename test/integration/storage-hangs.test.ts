/** An S3 that takes requests and does not answer: how long that holds what others need, at a real server. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startDevS3Process } from '../support/dev-s3-process.ts';
import { eventually } from '../support/eventually.ts';
import { exchange } from '../support/http-exchange.ts';
import { scrape } from '../support/read-metrics.ts';
import { startServerProcess } from '../support/server-process.ts';
import { patternBytes } from '../support/test-relay.ts';
import { createUpload, head, OFFSET_BODY, openPatch, patch, post } from '../support/tus-client.ts';

const MIB = 2 ** 20;
const CONTENT = patternBytes(23 * MIB);
/** A whole part, and some of the next one. */
const ACKNOWLEDGED = 6 * MIB;
const HANGS = { kind: 'hang', when: 'start' } as const;

/** The server with an S3 of its own that a test can make hang. */
async function startWithS3(t: TestContext, env: Record<string, string>) {
  const dataDir = await mkdtemp(join(tmpdir(), 'tus-relay-hangs-'));
  const s3 = await startDevS3Process({ dataDir, bucket: 'hangs' });
  t.after(async () => {
    await s3.end('SIGKILL');
    await rm(dataDir, { recursive: true, force: true, maxRetries: 3 });
  });
  const server = await startServerProcess(t, {
    env: {
      ...{ S3_BUCKET: 'hangs', S3_ENDPOINT: s3.url, AWS_REGION: s3.region, LOG_LEVEL: 'info' },
      ...{ AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey },
      ...env,
    },
  });
  return { server, s3, filesUrl: `${server.url}/files` };
}

/** An upload whose beginning is stored and acknowledged. */
async function beginUpload(filesUrl: string): Promise<string> {
  const url = await createUpload(filesUrl, CONTENT.length);
  assert.equal((await patch(url, 0, CONTENT.subarray(0, ACKNOWLEDGED))).status, 204);
  return url;
}

async function assertContinues(url: string): Promise<void> {
  const offset = Number((await head(url)).headers['upload-offset']);
  assert.ok(offset >= ACKNOWLEDGED, `${offset} bytes of ${ACKNOWLEDGED} that were acknowledged`);
  assert.equal((await patch(url, offset, CONTENT.subarray(offset))).status, 204);
  assert.ok((await exchange(url, { method: 'GET' })).body.equals(CONTENT));
}

test('S3 hangs: after S3_CALL_SECS the request ends with 503, and lock and memory are free', async (t) => {
  const { server, s3, filesUrl } = await startWithS3(t, { S3_CALL_SECS: '4' });
  const url = await beginUpload(filesUrl);
  await s3.control({ rules: [{ operation: '*', action: HANGS }] });
  const answer = await patch(url, ACKNOWLEDGED, CONTENT.subarray(ACKNOWLEDGED));
  assert.equal(answer.status, 503);
  assert.match(answer.body.toString(), /^ERR_STORAGE_UNAVAILABLE: /);
  assert.ok(Number(answer.headers['retry-after']) > 0);
  const asked = await head(url);
  assert.equal(asked.status, 200);
  assert.equal(asked.headers['upload-offset'], String(ACKNOWLEDGED));
  assert.equal((await scrape(server.url)).find('tus_relay_buffer_in_flight_bytes'), 0);
  await s3.control({ clear: true });
  await assertContinues(url);
});

test('S3 hangs when the parts are put together: 503, then 423, and the server finishes it by itself', async (t) => {
  const { s3, filesUrl } = await startWithS3(t, { S3_CALL_SECS: '4' });
  const url = await beginUpload(filesUrl);
  await s3.control({ rules: [{ operation: 'CompleteMultipartUpload', action: HANGS }] });
  assert.equal((await patch(url, ACKNOWLEDGED, CONTENT.subarray(ACKNOWLEDGED))).status, 503);
  assert.equal((await head(url)).status, 423);
  await s3.control({ clear: true });
  await eventually('the object', async () => ((await head(url)).status === 200 ? true : undefined));
  assert.ok((await exchange(url, { method: 'GET' })).body.equals(CONTENT));
});

test('S3 hangs when a file is asked for: after S3_CALL_SECS 503, and the place among the downloads is free', async (t) => {
  const { server, s3, filesUrl } = await startWithS3(t, { S3_CALL_SECS: '2', MAX_DOWNLOADS: '1' });
  const url = await createUpload(filesUrl, 5);
  assert.equal((await patch(url, 0, patternBytes(5))).status, 204);
  const content = `${server.url}/api/files/${url.split('/').at(-1)}/content`;
  const hanging = (['GetObject', 'HeadObject'] as const).map((operation) => ({ operation, action: HANGS }));
  await s3.control({ rules: hanging });
  for (const [method, address] of [
    ['GET', url],
    ['GET', content],
    ['HEAD', content],
  ] as const) {
    const startedMs = performance.now();
    const answer = await exchange(address, { method });
    assert.equal(answer.status, 503, `${method} ${address}`);
    // Silence on the connection is taken for a break after 60 s.
    assert.ok(performance.now() - startedMs < 30_000);
    assert.ok(Number(answer.headers['retry-after']) > 0);
    assert.equal(answer.headers.etag, undefined, 'nothing of the file is told');
  }
  await s3.control({ clear: true });
  assert.ok((await exchange(url, { method: 'GET' })).body.equals(patternBytes(5)));
});

test('uploads that have every connection to S3 in use do not make the node look as if S3 were away', async (t) => {
  const { server, s3, filesUrl } = await startWithS3(t, {});
  await s3.control({ rules: [{ operation: 'PutObject', action: HANGS }] });
  const small = patternBytes(1_000);
  const headers = { ...OFFSET_BODY, 'Upload-Length': small.length };
  const answers = Array.from({ length: 300 }, () => post(filesUrl, headers, small).catch(() => null));
  await eventually('calls on all connections', async () =>
    ((await s3.control({})).PutObject ?? 0) >= 256 ? true : undefined,
  );
  assert.equal((await exchange(`${server.url}/readyz`, { method: 'GET' })).status, 200);
  await s3.control({ clear: true });
  for (const answer of await Promise.all(answers)) assert.equal(answer?.status, 201);
});

test('S3 hangs, and the server is told to end: it ends with 0 soon after DRAIN_SECS, and nothing is lost', async (t) => {
  const { server, s3, filesUrl } = await startWithS3(t, { DRAIN_SECS: '2' });
  const [whole, midway, left] = await Promise.all([0, 1, 2].map(() => beginUpload(filesUrl)));
  assert.ok(whole !== undefined && midway !== undefined && left !== undefined);
  await s3.control({ resetCounts: true, rules: [{ operation: '*', action: HANGS }] });
  const ignored = () => {};
  const answers = [
    patch(whole, ACKNOWLEDGED, CONTENT.subarray(ACKNOWLEDGED)).catch(ignored),
    post(filesUrl, { 'Upload-Length': 0 }).catch(ignored),
  ];
  const open = await openPatch(midway, ACKNOWLEDGED, CONTENT.length - ACKNOWLEDGED);
  await open.send(CONTENT.subarray(ACKNOWLEDGED, 12 * MIB));
  const leaving = await openPatch(left, ACKNOWLEDGED, CONTENT.length - ACKNOWLEDGED);
  await leaving.send(CONTENT.subarray(ACKNOWLEDGED, 12 * MIB));
  await eventually('calls that hang', async () => {
    const { UploadPart = 0, PutObject = 0 } = await s3.control({});
    return UploadPart >= 3 && PutObject >= 1 ? true : undefined;
  });
  leaving.vanish();
  const startedMs = performance.now();
  const exit = await server.stop('SIGTERM');
  const tookMs = performance.now() - startedMs;
  await Promise.all(answers);
  open.vanish();
  assert.deepEqual(exit, { code: 0, signal: null }, server.output);
  // Before, it waited for S3; then the process ended itself, 20 s after DRAIN_SECS, with 1.
  assert.ok(tookMs < 20_000, `${tookMs} ms`);
  await s3.control({ clear: true });
  await server.start();
  for (const url of [whole, midway, left]) await assertContinues(url);
});
