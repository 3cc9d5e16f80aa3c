/** The scripted faults of dev-s3, as a client meets them. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test, { type TestContext } from 'node:test';
import {
  CreateBucketCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { DevS3 } from '../../src/dev-s3/dev-s3-server.ts';
import { DEV_S3_CREDENTIALS, DEV_S3_REGION, startTestDevS3, temporaryFolder } from '../support/dev-s3.ts';
import { startDevS3Process } from '../support/dev-s3-process.ts';
import { bodyOf, MIB, refused, sameBytes } from './s3-checks.ts';
import { sdkClient } from './s3-target.ts';

const Bucket = 'faults';
const where = { Bucket, Key: 'k' };

test('an error is answered as often as was said, and nothing is done', async (t) => {
  const { server, client } = await start(t);
  const action = { kind: 'error', status: 503, code: 'SlowDown' } as const;
  server.faults.add({ operation: 'PutObject', skip: 1, times: 2, action });
  await client.send(new PutObjectCommand({ ...where, Body: '1' }));
  await refused(client.send(new PutObjectCommand({ ...where, Body: '2' })), 503, 'SlowDown');
  await refused(client.send(new PutObjectCommand({ ...where, Body: randomBytes(5 * MIB) })), 503, 'SlowDown');
  assert.equal(await read(client), '1'); // other operations are not concerned
  await client.send(new PutObjectCommand({ ...where, Body: '4' }));
  assert.equal(await read(client), '4');
  assert.deepEqual(server.faults.counts(), { CreateBucket: 1, PutObject: 4, GetObject: 2 });
});

test('a rule for a part of the key leaves other keys alone', async (t) => {
  const { server, client } = await start(t);
  server.faults.add({
    ...{ operation: '*', keyPart: '/tail/' },
    action: { kind: 'error', status: 500, code: 'InternalError' },
  });
  await client.send(new PutObjectCommand({ ...where, Body: 'x' }));
  await refused(client.send(new PutObjectCommand({ Bucket, Key: 'a/tail/1', Body: 'x' })), 500, 'InternalError');
});

test('an error afterwards, and a lost reply, do what was asked', async (t) => {
  const { server, client } = await start(t);
  const action = { kind: 'error', status: 500, code: 'InternalError', afterwards: true } as const;
  server.faults.add({ operation: 'PutObject', times: 1, action });
  await refused(client.send(new PutObjectCommand({ ...where, Body: 'done' })), 500);
  assert.equal(await read(client), 'done');
  server.faults.add({ operation: 'PutObject', times: 1, action: { kind: 'drop-reply' } });
  await broken(client.send(new PutObjectCommand({ ...where, Body: 'done again' })));
  assert.equal(await read(client), 'done again');
});

test('a connection that is cut in the request stores nothing', async (t) => {
  const { server, client } = await start(t);
  await client.send(new PutObjectCommand({ ...where, Body: 'old' }));
  for (const afterBytes of [0, 100_000, 10 * MIB]) {
    server.faults.add({ operation: 'PutObject', times: 1, action: { kind: 'cut-request', afterBytes } });
    await broken(client.send(new PutObjectCommand({ ...where, Body: randomBytes(2 * MIB) })));
  }
  assert.equal(await read(client), 'old');
});

test('a connection that is cut in the answer gives the bytes up to there', async (t) => {
  const { server, client } = await start(t);
  const content = randomBytes(2 * MIB);
  await client.send(new PutObjectCommand({ ...where, Body: content }));
  server.faults.add({ operation: 'GetObject', times: 1, action: { kind: 'cut-answer', afterBytes: MIB + 1 } });
  const { Body } = await client.send(new GetObjectCommand(where));
  assert.ok(Body);
  const chunks: Buffer[] = [];
  await assert.rejects(async () => {
    for await (const chunk of Body as AsyncIterable<Buffer>) chunks.push(chunk);
  });
  const got = Buffer.concat(chunks);
  assert.ok(got.length <= MIB + 1);
  sameBytes(got, content.subarray(0, got.length));
});

test('a hanging or delayed request is answered when it is let go, or when its time is over', async (t) => {
  const { server, client } = await start(t);
  for (const when of ['start', 'received', 'done'] as const) {
    for (const action of [{ kind: 'hang', when } as const, { kind: 'delay', when, ms: 3_600_000 } as const]) {
      server.faults.add({ operation: 'PutObject', times: 1, action });
      let answered = false;
      const put = client.send(new PutObjectCommand({ ...where, Body: when })).then(() => {
        answered = true;
      });
      // A second request is through: the first had all the time that it takes.
      await client.send(new HeadObjectCommand(where)).catch(() => {});
      assert.equal(answered, false);
      server.faults.clear();
      await put;
      assert.equal(await read(client), when);
    }
  }
  server.faults.add({ operation: 'PutObject', times: 1, action: { kind: 'delay', ms: 5, when: 'start' } });
  await client.send(new PutObjectCommand({ ...where, Body: 'after 5 ms' }));
  assert.equal(await read(client), 'after 5 ms');
});

test('a hanging request does not keep the server from closing', async (t) => {
  const { server, client } = await start(t);
  server.faults.add({ operation: 'HeadObject', action: { kind: 'hang', when: 'start' } });
  const head = client.send(new HeadObjectCommand(where)).catch(() => 'ended');
  while (server.faults.counts().HeadObject === undefined) await new Promise((resolve) => setImmediate(resolve));
  await server.close();
  assert.equal(await head, 'ended');
});

test('an outage refuses everything, until it ends', async (t) => {
  const { server, client } = await start(t);
  await client.send(new PutObjectCommand({ ...where, Body: 'x' }));
  server.faults.startOutage('busy');
  await refused(client.send(new GetObjectCommand(where)), 503, 'SlowDown');
  server.faults.startOutage('cut');
  await broken(client.send(new GetObjectCommand(where)));
  server.faults.endOutage();
  assert.equal(await read(client), 'x');
});

test('a server in a process of its own takes faults from whoever has the token', async (t) => {
  const dataDir = await temporaryFolder(t);
  const server = await startDevS3Process({ dataDir, bucket: Bucket, credentials: DEV_S3_CREDENTIALS });
  t.after(() => server.end('SIGKILL'));
  const client = clientOf(t, server.url);
  await server.control({
    rules: [{ operation: 'PutObject', times: 1, action: { kind: 'error', status: 503, code: 'SlowDown' } }],
  });
  await refused(client.send(new PutObjectCommand({ ...where, Body: 'x' })), 503, 'SlowDown');
  await client.send(new PutObjectCommand({ ...where, Body: 'x' }));
  assert.deepEqual(await server.control({ resetCounts: true, outage: { kind: 'cut' } }), {});
  await broken(client.send(new GetObjectCommand(where)));
  await server.control({ outage: null });
  assert.equal(await read(client), 'x');
  const answer = await fetch(`${server.url}/__faults`, { method: 'POST', body: '{"clear":true}' });
  assert.equal(answer.status, 403);
  await assert.rejects(
    server.control({ rules: [{ operation: 'PutNothing' as 'PutObject', action: { kind: 'drop-reply' } }] }),
  );
  assert.equal(await server.end('SIGTERM'), 0);
});

test('without a token there is no such path', async (t) => {
  const { server } = await start(t);
  assert.equal((await fetch(`${server.url}/__faults`, { method: 'POST', body: '{}' })).status, 405);
});

async function start(t: TestContext): Promise<{ server: DevS3; client: S3Client }> {
  const server = await startTestDevS3(t);
  const client = clientOf(t, server.url);
  await client.send(new CreateBucketCommand({ Bucket }));
  return { server, client };
}

function clientOf(t: TestContext, endpoint: string): S3Client {
  const client = sdkClient({
    ...{ endpoint, region: DEV_S3_REGION, credentials: DEV_S3_CREDENTIALS },
    ...{ bucket: Bucket, profile: new Set<never>() },
  });
  t.after(() => client.destroy());
  return client;
}

async function read(client: S3Client): Promise<string> {
  return (await bodyOf(await client.send(new GetObjectCommand(where)))).toString();
}

/** There was no answer: the connection broke. */
async function broken(call: Promise<unknown>): Promise<void> {
  await assert.rejects(call, (error: { $metadata?: { httpStatusCode?: number } }) => {
    assert.equal(error.$metadata?.httpStatusCode, undefined, `an answer came: ${error}`);
    return true;
  });
}
