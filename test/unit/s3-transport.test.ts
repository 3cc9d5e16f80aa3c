import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkBucket } from '../../src/s3/check-bucket.ts';
import type { CallOptions } from '../../src/s3/object-storage.ts';
import { payloadFrom } from '../../src/s3/payload.ts';
import { S3Error, type S3Outcome } from '../../src/s3/s3-errors.ts';
import { S3ObjectStorage } from '../../src/s3/s3-object-storage.ts';
import { answerStored, startFakeS3, TEST_SETTINGS } from '../support/fake-s3-server.ts';

const MIB = 1024 * 1024;
const BODY = payloadFrom([Buffer.from('x')]);

async function errorOf(call: Promise<unknown>): Promise<Pick<S3Error, 's3Code' | 'outcome' | 'retryable'>> {
  const error = await call.then(
    () => assert.fail('it succeeded'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof S3Error, String(error));
  return { s3Code: error.s3Code, outcome: error.outcome, retryable: error.retryable };
}

function storageFor(t: TestContext, endpoint: string, connectTimeoutMs = 5_000): S3ObjectStorage {
  const storage = new S3ObjectStorage({ ...TEST_SETTINGS, endpoint }, { connectTimeoutMs });
  t.after(() => storage.close());
  return storage;
}

/** A port where nobody listens. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

// Both ways to S3: the hand-made request, and the SDK's client on the same transport.
const CALLS: {
  name: string;
  call: (storage: S3ObjectStorage, options?: CallOptions) => Promise<unknown>;
  /** Of a call that was aborted before it was sent: the SDK does not say. */
  unsentAbort: S3Outcome;
}[] = [
  { name: 'UploadPart', call: (it, options) => it.uploadPart('k', 'id', 1, BODY, options), unsentAbort: 'refused' },
  {
    name: 'CreateMultipartUpload',
    call: (it, options) => it.createMultipartUpload('k', {}, options),
    unsentAbort: 'unknown',
  },
];

for (const { name, call, unsentAbort } of CALLS) {
  test(`${name}: a server that is not there has done nothing, and may come back`, async (t) => {
    const storage = storageFor(t, `http://127.0.0.1:${await freePort()}`);
    assert.deepEqual(await errorOf(call(storage)), { s3Code: 'ECONNREFUSED', outcome: 'refused', retryable: true });
  });

  test(`${name}: a handshake that never ends has sent nothing`, async (t) => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    server.on('connection', (socket) => t.after(() => socket.destroy()));
    t.after(() => server.close());
    const storage = storageFor(t, `https://127.0.0.1:${(server.address() as AddressInfo).port}`, 50);
    assert.deepEqual(await errorOf(call(storage)), { s3Code: 'ConnectTimeout', outcome: 'refused', retryable: true });
  });

  test(`${name}: a server that never answers ends the call as unknown`, async (t) => {
    const s3 = await startFakeS3(t, () => {});
    assert.deepEqual(await errorOf(call(s3.storage({}, { idleTimeoutMs: 50 }))), {
      s3Code: 'IdleTimeout',
      outcome: 'unknown',
      retryable: true,
    });
  });

  test(`${name}: an answer that trickles for ever ends with the time of the call`, async (t) => {
    const s3 = await startFakeS3(t, (_req, res) => {
      res.writeHead(200, { etag: '"x"' });
      const timer = setInterval(() => res.write(' '), 10);
      res.on('close', () => clearInterval(timer));
    });
    const storage = s3.storage({}, { idleTimeoutMs: 5_000, callTimeoutMs: 100 });
    assert.deepEqual(await errorOf(call(storage)), { s3Code: 'CallTimeout', outcome: 'unknown', retryable: true });
  });

  test(`${name}: a connection that is cut before the answer leaves it unknown`, async (t) => {
    const s3 = await startFakeS3(t, (req) => req.socket.destroy());
    assert.deepEqual(await errorOf(call(s3.storage())), {
      s3Code: 'ECONNRESET',
      outcome: 'unknown',
      retryable: true,
    });
  });

  test(`${name}: an answer that is cut in its middle is no answer`, async (t) => {
    const s3 = await startFakeS3(t, (req, res) => {
      res.writeHead(200, { etag: '"x"', 'content-length': '100' });
      res.write('half', () => req.socket.destroy());
    });
    const { outcome, retryable } = await errorOf(call(s3.storage()));
    assert.deepEqual({ outcome, retryable }, { outcome: 'unknown', retryable: true });
  });

  test(`${name}: an abort cuts the request, and what was sent is unknown`, async (t) => {
    const abort = new AbortController();
    let closed = Promise.resolve();
    const s3 = await startFakeS3(t, (req) => {
      closed = once(req.socket, 'close').then(() => {});
      abort.abort();
    });
    assert.deepEqual(await errorOf(call(s3.storage(), abort)), {
      s3Code: 'Aborted',
      outcome: 'unknown',
      retryable: false,
    });
    await closed;
  });

  test(`${name}: an abort beforehand sends nothing`, async (t) => {
    const s3 = await startFakeS3(t, answerStored);
    assert.deepEqual(await errorOf(call(s3.storage(), { signal: AbortSignal.abort() })), {
      s3Code: 'Aborted',
      outcome: unsentAbort,
      retryable: false,
    });
    assert.equal(s3.requests.length, 0);
  });

  test(`${name}: a call that still waits for a connection is aborted without having been sent`, async (t) => {
    const abort = new AbortController();
    const s3 = await startFakeS3(t, () => abort.abort());
    const storage = s3.storage({ maxSockets: 1 }, { callTimeoutMs: 1_000 });
    const first = errorOf(call(storage));
    assert.equal((await errorOf(call(storage, abort))).outcome, unsentAbort);
    storage.close();
    assert.equal((await first).outcome, 'unknown');
    assert.equal(s3.requests.length, 1);
  });
}

test('a server that stops reading the body ends the call as unknown', async (t) => {
  const s3 = await startFakeS3(t, (req) => req.pause(), { early: true });
  const body = payloadFrom(Array.from({ length: 64 }, () => Buffer.alloc(MIB)));
  assert.deepEqual(await errorOf(s3.storage({}, { idleTimeoutMs: 100 }).putObject('k', body, {})), {
    s3Code: 'IdleTimeout',
    outcome: 'unknown',
    retryable: true,
  });
});

test('a download that its reader does not take is not cut for that, one that dries up is', async (t) => {
  const idleTimeoutMs = 50;
  const half = 4 * MIB;
  const s3 = await startFakeS3(t, (_req, res) => {
    res.writeHead(200, { 'content-length': `${2 * half}`, etag: '"x"' });
    res.write(Buffer.alloc(half)); // and never the second half
  });
  const opened = await s3.storage({}, { idleTimeoutMs, callTimeoutMs: 100 }).getObject('k');
  assert.ok(opened);
  await once(opened.body, 'readable');
  await sleep(6 * idleTimeoutMs); // several time limits pass while nobody reads
  assert.equal(opened.body.destroyed, false);
  let bytes = 0;
  await assert.rejects(async () => {
    for await (const chunk of opened.body) bytes += (chunk as Buffer).byteLength;
  }, /nothing moved for 50 ms/);
  assert.equal(bytes, half);
});

test('connections are used again, and never more than allowed', async (t) => {
  const ports = new Set<number | undefined>();
  const s3 = await startFakeS3(t, (req, res) => {
    ports.add(req.socket.remotePort);
    res.writeHead(200, { etag: '"x"', 'content-length': '0' }).end();
  });
  const storage = s3.storage({ maxSockets: 3 });
  await Promise.all(Array.from({ length: 30 }, (_, n) => storage.putObject(`k${n}`, BODY, {})));
  await storage.headObject('k1');
  assert.equal(s3.requests.length, 31);
  assert.ok(ports.size <= 3, `${ports.size} connections`);
});

test('uploads, downloads and probes do not wait for one another’s connections', async (t) => {
  const s3 = await startFakeS3(
    t,
    (req, res) => {
      if (req.method === 'PUT' && req.url?.includes('/quick')) answerStored(req, res);
      else if (req.url?.includes('list-type=2')) {
        res.writeHead(200).end('<ListBucketResult><Name>test-bucket</Name></ListBucketResult>');
      } else if (req.method === 'GET') res.writeHead(200, { 'content-length': '9', etag: '"x"' }).write('1');
      // What is left are uploads that hang.
    },
    { early: true },
  );
  const storage = s3.storage({ maxSockets: 2, maxDownloadSockets: 1 });
  const opened = await storage.getObject('k', undefined, { pool: 'downloads' });
  assert.deepEqual(await storage.putObject('quick', BODY, {}), { etag: '"stored"' });
  const leaving = new AbortController();
  const second = storage.getObject('k', undefined, { pool: 'downloads', signal: leaving.signal });
  const hanging = ['a', 'b'].map((key) => storage.putObject(key, BODY, {}, { signal: leaving.signal }));
  const target = { bucket: 'test-bucket', region: 'us-east-1' };
  assert.equal(await checkBucket(storage.client, target), null);
  assert.deepEqual(s3.requests.filter(({ url }) => url.includes('/k')).length, 1, 'a download past its own pool');
  leaving.abort();
  for (const call of [second, ...hanging]) await assert.rejects(call);
  opened?.body.destroy();
});
