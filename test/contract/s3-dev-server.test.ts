/** dev-s3 as a server: bad requests, clients that vanish, starting and closing. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { type DevS3, startDevS3 } from '../../src/dev-s3/dev-s3-server.ts';
import { StartError } from '../../src/errors.ts';
import { DEV_S3_CREDENTIALS, DEV_S3_REGION, temporaryFolder } from '../support/dev-s3.ts';
import { bodyOf, MIB, PART_BYTES, sameBytes } from './s3-checks.ts';
import { sendSigned, signHeaders } from './s3-signer.ts';
import { type S3Target, sdkClient } from './s3-target.ts';

const Bucket = 'server';

test('whatever is sent, the server answers the next request', async (t) => {
  const { server, client, failures } = await start(t);
  const garbage = [
    'GET / HTTP/1.1\r\n\r\n', // no Host
    'nonsense\r\n\r\n',
    'GET /server/%zz HTTP/1.1\r\nHost: h\r\n\r\n',
    'GET /server/%ff%fe HTTP/1.1\r\nHost: h\r\n\r\n',
    'GET /server/a%00b?list-type=2&%=% HTTP/1.1\r\nHost: h\r\n\r\n',
    'GET //../../etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n',
    'GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n',
    'OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n',
    'CONNECT server:1 HTTP/1.1\r\nHost: h\r\n\r\n',
    'PATCH /server/k HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc',
    'POST /server?delete HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc',
    'PUT /server/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    'PUT /server/k HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n',
    `GET /server/${'k'.repeat(20_000)} HTTP/1.1\r\nHost: h\r\n\r\n`,
    `GET /server/${'k'.repeat(2_000)} HTTP/1.1\r\nHost: h\r\n\r\n`,
    'GET /server HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n',
  ];
  for (const text of garbage) {
    const status = await statusOf(server.port, text);
    assert.ok(status === null || (status >= 400 && status < 600 && status !== 500), `${text.slice(0, 60)}: ${status}`);
  }
  await client.send(new ListObjectsV2Command({ Bucket }));
  assert.deepEqual(failures, []);
});

test('signed nonsense is refused in S3’s words', async (t) => {
  const { target, failures } = await start(t);
  const xml = (text: string) => ({ body: Buffer.from(text) });
  for (const [what, request, status, code] of [
    [
      'XML that ends early',
      { method: 'PUT', path: '/server', query: { cors: '' }, ...xml('<CORSConfiguration>') },
      400,
      'MalformedXML',
    ],
    ['an operation that is not there', { method: 'GET', path: '/server/k', query: { acl: '' } }, 501, 'NotImplemented'],
    [
      'a header that is not heeded',
      { method: 'PUT', path: '/server/k', headers: { 'x-amz-tagging': 'a=b' } },
      501,
      'NotImplemented',
    ],
    [
      'a token that is none',
      { method: 'GET', path: '/server', query: { 'list-type': '2', 'continuation-token': '%' } },
      400,
      'InvalidArgument',
    ],
    [
      'a header with a line break',
      { method: 'GET', path: '/server/k', query: { 'response-content-type': 'a\r\nb' } },
      404,
      'NoSuchKey',
    ],
    [
      'a deletion without a digest',
      { method: 'POST', path: '/server', query: { delete: '' }, ...xml('<Delete/>') },
      400,
      'InvalidRequest',
    ],
    [
      'a digest that is none',
      { method: 'PUT', path: '/server/k', headers: { 'content-md5': 'x' }, ...xml('x') },
      400,
      'InvalidDigest',
    ],
    [
      'too much metadata',
      { method: 'PUT', path: '/server/k', headers: { 'x-amz-meta-a': 'x'.repeat(2_100) } },
      400,
      'MetadataTooLarge',
    ],
    ['a key that is too long', { method: 'PUT', path: `/server/${'k'.repeat(1_025)}` }, 400, 'KeyTooLongError'],
    [
      'an upload of 6 GiB',
      { method: 'PUT', path: '/server/k', headers: { 'content-length': String(6 * 1024 ** 3) } },
      400,
      'EntityTooLarge',
    ],
  ] as const) {
    const answer = await sendSigned(target, request);
    assert.deepEqual([answer.status, answer.code], [status, code], what);
  }
  await sendSigned(target, { method: 'PUT', path: '/server/k' });
  const broken = await sendSigned(target, {
    method: 'GET',
    path: '/server/k',
    query: { 'response-content-type': 'a\r\nb' },
  });
  assert.deepEqual([broken.status, broken.code], [400, 'InvalidArgument']);
  assert.deepEqual(failures, []);
});

test('a client that vanishes in the middle of its body leaves nothing', async (t) => {
  const { target, dataDir, failures } = await start(t);
  const { headers } = signHeaders(target, { method: 'PUT', path: '/server/k', payloadHash: 'UNSIGNED-PAYLOAD' });
  const incoming = () => readdir(join(dataDir, 'incoming'));
  const puts = Array.from({ length: 5 }, () => {
    const put = request(`${target.endpoint}/server/k`, {
      method: 'PUT',
      headers: { ...headers, 'content-length': 10 * MIB },
      agent: false,
    });
    put.on('error', () => {});
    put.write(randomBytes(2 * MIB));
    return put;
  });
  while ((await incoming()).length < 5) await sleep(5, undefined, { signal: t.signal });
  for (const put of puts) put.destroy();
  while ((await incoming()).length > 0) await sleep(5, undefined, { signal: t.signal });
  assert.equal((await sendSigned(target, { method: 'HEAD', path: '/server/k' })).status, 404);
  assert.deepEqual(failures, []);
});

test('a reader keeps the bytes that it began with, also when it is slow and the object goes', async (t) => {
  const { client, dataDir } = await start(t);
  const contents = [0, 1, 2].map(() => randomBytes(PART_BYTES)); // more than a connection takes unread
  const where = { Bucket, Key: 'k' };
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(where));
  const Parts = await Promise.all(
    contents.map(async (Body, index) => {
      const PartNumber = index + 1;
      const { ETag } = await client.send(new UploadPartCommand({ ...where, UploadId, PartNumber, Body }));
      return { PartNumber, ETag };
    }),
  );
  await client.send(new CompleteMultipartUploadCommand({ ...where, UploadId, MultipartUpload: { Parts } }));
  const got = await client.send(new GetObjectCommand(where)); // nothing of the body is read yet
  const vanishing = await client.send(new GetObjectCommand(where));
  await client.send(new PutObjectCommand({ ...where, Body: 'new' }));
  sameBytes(await bodyOf(got), Buffer.concat(contents));
  (vanishing.Body as unknown as { destroy(): void }).destroy();
  // The old files go with their last reader.
  while ((await readdir(join(dataDir, 'files'))).length > 1) await sleep(5, undefined, { signal: t.signal });
  assert.equal((await bodyOf(await client.send(new GetObjectCommand(where)))).toString(), 'new');
});

test('writers of one key do not mix their bytes', async (t) => {
  const { client, dataDir } = await start(t);
  const contents = Array.from({ length: 12 }, (_, n) => Buffer.alloc(300_000 + n, n));
  await Promise.all(contents.map((Body) => client.send(new PutObjectCommand({ Bucket, Key: 'k', Body }))));
  const stored = await bodyOf(await client.send(new GetObjectCommand({ Bucket, Key: 'k' })));
  assert.ok(contents.some((content) => content.equals(stored)));
  while ((await readdir(join(dataDir, 'files'))).length > 1) await sleep(5, undefined, { signal: t.signal });
});

test('a start that cannot be says why in one sentence', async (t) => {
  const { server, dataDir } = await start(t);
  const options = { port: 0, credentials: DEV_S3_CREDENTIALS, region: DEV_S3_REGION };
  const other = await temporaryFolder(t);
  const failed = (start: Promise<DevS3>, message: RegExp) =>
    assert.rejects(start, (error: Error) => {
      assert.ok(error instanceof StartError);
      assert.match(error.message, message);
      return true;
    });
  await failed(
    startDevS3({ ...options, dataDir: other, port: server.port }),
    /port \d+ .* already in use.*DEV_S3_PORT/,
  );
  await failed(startDevS3({ ...options, dataDir }), /in use by another server/);
  await failed(startDevS3({ ...options, dataDir: '/dev/null/s3' }), /cannot use its data folder/);
  const again = await startDevS3({ ...options, dataDir: other }); // the failed start has let go of the folder
  await again.close();
});

test('closing lets a running request finish, and a restart finds its object', async (t) => {
  const { server, target, dataDir } = await start(t);
  const { headers } = signHeaders(target, { method: 'PUT', path: '/server/k', payloadHash: 'UNSIGNED-PAYLOAD' });
  const content = randomBytes(2 * MIB);
  const put = request(`${target.endpoint}/server/k`, {
    method: 'PUT',
    headers: { ...headers, 'content-length': content.length },
  });
  put.write(content.subarray(0, MIB));
  while ((await readdir(join(dataDir, 'incoming'))).length < 1) await sleep(5, undefined, { signal: t.signal });
  const closed = server.close(30_000);
  put.end(content.subarray(MIB));
  const [answer] = await once(put, 'response');
  assert.equal(answer.statusCode, 200);
  answer.resume();
  await closed;
  const again = await startDevS3({
    ...{ port: 0, dataDir },
    ...{ credentials: DEV_S3_CREDENTIALS, region: DEV_S3_REGION },
  });
  const client = sdkClient({ ...target, endpoint: again.url });
  sameBytes(await bodyOf(await client.send(new GetObjectCommand({ Bucket, Key: 'k' }))), content);
  client.destroy();
  await again.close();
});

async function start(t: TestContext) {
  const dataDir = await temporaryFolder(t);
  const failures: unknown[] = [];
  const server = await startDevS3({
    ...{ port: 0, dataDir, credentials: DEV_S3_CREDENTIALS, region: DEV_S3_REGION },
    log: (message, error) => failures.push({ message, error }),
  });
  const target: S3Target = {
    ...{ endpoint: server.url, region: DEV_S3_REGION, credentials: DEV_S3_CREDENTIALS },
    ...{ bucket: Bucket, profile: new Set<never>() },
  };
  const client = sdkClient(target);
  t.after(async () => {
    client.destroy();
    await server.close(0);
  });
  await client.send(new CreateBucketCommand({ Bucket }));
  return { server, client, target, dataDir, failures };
}

/** Sends bytes as they are. @returns the answer's status; null when the connection ended without one */
async function statusOf(port: number, text: string): Promise<number | null> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    socket.end(); // one answer is enough
  });
  socket.write(text);
  await once(socket, 'close');
  const match = /^HTTP\/1\.1 (\d+)/.exec(Buffer.concat(chunks).toString('latin1'));
  return match === null ? null : Number(match[1]);
}
