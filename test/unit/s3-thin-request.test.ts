import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Payload } from '../../src/s3/object-storage.ts';
import { payloadFrom } from '../../src/s3/payload.ts';
import { S3Error } from '../../src/s3/s3-errors.ts';
import { answerError, answerStored, startFakeS3 } from '../support/fake-s3-server.ts';

const MIB = 1024 * 1024;

/** Rejects unless the call failed as an S3Error with these fields. */
function failsAs(call: Promise<unknown>, expected: Partial<S3Error>): Promise<void> {
  return assert.rejects(call, (error) => {
    assert.ok(error instanceof S3Error, String(error));
    for (const [name, value] of Object.entries(expected)) {
      assert.deepEqual(error[name as keyof S3Error], value, `${name} of: ${error.message}`);
    }
    return true;
  });
}

test('a key is encoded once, segment by segment, and the bytes arrive as they were', async (t) => {
  const s3 = await startFakeS3(t, answerStored);
  const chunks = [Buffer.from('hello '), Buffer.alloc(3 * MIB, 7), Buffer.from('!')];
  const { etag } = await s3.storage().putObject("a b/ü%2F(1)!*'~+&=?#//..", payloadFrom(chunks), {});
  assert.equal(etag, '"stored"');
  const [request] = s3.requests;
  assert.equal(request?.method, 'PUT');
  assert.equal(request?.url, '/test-bucket/a%20b/%C3%BC%252F%281%29%21%2A%27~%2B%26%3D%3F%23//..');
  assert.deepEqual(request?.body, Buffer.concat(chunks));
  assert.equal(request?.headers['content-length'], `${3 * MIB + 7}`);
  assert.equal(request?.headers['transfer-encoding'], undefined);
});

test('the headers an object is served with are sent and signed', async (t) => {
  const s3 = await startFakeS3(t, answerStored);
  const credentials = { accessKeyId: 'test-key', secretAccessKey: 'test-secret', sessionToken: 'test-session' };
  await s3.storage({ credentials }).putObject('k', payloadFrom([Buffer.from('x')]), {
    contentType: 'image/png',
    contentDisposition: 'inline; filename="a.png"',
    cacheControl: 'no-store',
    metadata: { Upload: 'u-1' },
  });
  const headers = s3.requests[0]?.headers ?? {};
  assert.equal(headers['content-type'], 'image/png');
  assert.equal(headers['content-disposition'], 'inline; filename="a.png"');
  assert.equal(headers['cache-control'], 'no-store');
  assert.equal(headers['x-amz-meta-upload'], 'u-1');
  assert.equal(headers['x-amz-security-token'], 'test-session');
  const signed = /SignedHeaders=([^,]+)/.exec(headers.authorization ?? '')?.[1]?.split(';') ?? [];
  for (const name of ['host', 'content-type', 'content-disposition', 'x-amz-meta-upload', 'x-amz-security-token']) {
    assert.ok(signed.includes(name), `${name} is not signed: ${signed}`);
  }
});

test('a part goes to its number of its multipart upload', async (t) => {
  const s3 = await startFakeS3(t, answerStored);
  await s3.storage().uploadPart('k', 'id/+=', 17, payloadFrom([Buffer.from('part')]));
  assert.equal(s3.requests[0]?.url, '/test-bucket/k?partNumber=17&uploadId=id%2F%2B%3D');
  assert.equal(s3.requests[0]?.body.toString(), 'part');
});

test('an empty object has no body and a length of 0', async (t) => {
  const s3 = await startFakeS3(t, answerStored);
  await s3.storage().putObject('empty', payloadFrom([]), {});
  assert.equal(s3.requests[0]?.headers['content-length'], '0');
});

test('an endpoint may have a path in front of the bucket', async (t) => {
  const s3 = await startFakeS3(t, answerStored);
  await s3.storage({ endpoint: `${s3.endpoint}/store/s3/` }).putObject('k', payloadFrom([Buffer.from('x')]), {});
  assert.equal(s3.requests[0]?.url, '/store/s3/test-bucket/k');
});

test('the payload is hashed only where asked for, on a loopback', async (t) => {
  const s3 = await startFakeS3(t, answerStored);
  const body = payloadFrom([Buffer.from('some '), Buffer.from('bytes')]);
  for (const payloadSigning of ['auto', 'unsigned', 'signed'] as const) {
    await s3.storage({ payloadSigning }).putObject('k', body, {});
  }
  assert.deepEqual(
    s3.requests.map((request) => request.headers['x-amz-content-sha256']),
    ['UNSIGNED-PAYLOAD', 'UNSIGNED-PAYLOAD', createHash('sha256').update('some bytes').digest('hex')],
  );
});

test('a payload may come from an async source, and is read anew for a second attempt', async (t) => {
  let failures = 1;
  const s3 = await startFakeS3(t, (req, res, recorded) => {
    if (failures-- > 0) answerError(503, 'SlowDown')(req, res, recorded);
    else answerStored(req, res);
  });
  const body: Payload = {
    bytes: 8,
    async *read() {
      yield Buffer.from('from');
      await new Promise((resolve) => setImmediate(resolve));
      yield Buffer.from('disk');
    },
  };
  const storage = s3.storage();
  await failsAs(storage.putObject('k', body, {}), { outcome: 'unknown', retryable: true, s3Code: 'SlowDown' });
  await storage.putObject('k', body, {});
  assert.deepEqual(
    s3.requests.map((request) => request.body.toString()),
    ['fromdisk', 'fromdisk'],
  );
});

const ANSWERS: { status: number; code: string; expected: Partial<S3Error> }[] = [
  { status: 403, code: 'AccessDenied', expected: { outcome: 'refused', retryable: false, status: 502 } },
  { status: 404, code: 'NoSuchUpload', expected: { outcome: 'refused', retryable: false } },
  { status: 301, code: 'PermanentRedirect', expected: { outcome: 'refused', retryable: false } },
  { status: 400, code: 'RequestTimeout', expected: { outcome: 'refused', retryable: true, status: 503 } },
  { status: 429, code: 'TooManyRequests', expected: { outcome: 'refused', retryable: true } },
  { status: 500, code: 'InternalError', expected: { outcome: 'unknown', retryable: true, status: 503 } },
  { status: 503, code: 'SlowDown', expected: { outcome: 'unknown', retryable: true } },
  { status: 501, code: 'NotImplemented', expected: { outcome: 'unknown', retryable: false } },
];

for (const { status, code, expected } of ANSWERS) {
  test(`an answer of ${status} ${code} is ${expected.outcome}${expected.retryable ? ' and worth a retry' : ''}`, async (t) => {
    const s3 = await startFakeS3(t, answerError(status, code));
    await failsAs(s3.storage().uploadPart('k', 'id', 1, payloadFrom([Buffer.from('x')])), {
      ...expected,
      operation: 'UploadPart',
      s3Code: code,
      httpStatus: status,
    });
  });
}

test('an error page that is not S3 has its status as code', async (t) => {
  const s3 = await startFakeS3(t, (_req, res) => res.writeHead(413).end('<html>too large</html>'));
  await failsAs(s3.storage().putObject('k', payloadFrom([Buffer.from('x')]), {}), {
    s3Code: 'Http413',
    outcome: 'refused',
  });
});

test('a success without an ETag is not taken for one', async (t) => {
  const s3 = await startFakeS3(t, (_req, res) => res.writeHead(200).end());
  await failsAs(s3.storage().putObject('k', payloadFrom([Buffer.from('x')]), {}), {
    s3Code: 'IncompleteAnswer',
    outcome: 'unknown',
  });
});

test('an answer that comes before the body is through counts, and the rest is not sent', async (t) => {
  const s3 = await startFakeS3(t, answerError(403, 'AccessDenied'), { early: true });
  let read = 0;
  const body: Payload = {
    bytes: 64 * MIB,
    *read() {
      for (; read < 64; read++) yield Buffer.alloc(MIB);
    },
  };
  await failsAs(s3.storage().putObject('k', body, {}), { outcome: 'refused', s3Code: 'AccessDenied' });
  assert.ok(read < 64, 'the whole payload was read');
});

test('a success that comes before the body is through is not believed', async (t) => {
  const s3 = await startFakeS3(t, answerStored, { early: true });
  const body: Payload = {
    bytes: 64 * MIB,
    *read() {
      for (let i = 0; i < 64; i++) yield Buffer.alloc(MIB);
    },
  };
  await failsAs(s3.storage().putObject('k', body, {}), { outcome: 'unknown', s3Code: 'EarlySuccess' });
});

for (const [what, bytes] of [
  ['more', 2],
  ['fewer', 6],
] as const) {
  test(`a payload with ${what} bytes than it said fails, and leaves nothing behind on the connection`, async (t) => {
    const s3 = await startFakeS3(t, answerStored);
    const storage = s3.storage({ maxSockets: 1 });
    const wrong: Payload = {
      bytes,
      async *read() {
        yield Buffer.from('f');
        await sleep(20); // the connection is there by now, and has seen the headers
        yield Buffer.from('our');
      },
    };
    await failsAs(storage.putObject('wrong', wrong, {}), { s3Code: 'BodyFailed' });
    await storage.putObject('right', payloadFrom([Buffer.from('four')]), {});
    assert.equal(s3.requests.at(-1)?.url, '/test-bucket/right');
  });
}

test('a payload that cannot be read fails the call with its cause', async (t) => {
  const s3 = await startFakeS3(t, answerStored);
  const body: Payload = {
    bytes: 8,
    async *read() {
      yield Buffer.from('four');
      throw new Error('disk gone');
    },
  };
  await assert.rejects(s3.storage().putObject('k', body, {}), (error: S3Error) => {
    assert.equal(error.s3Code, 'BodyFailed');
    assert.equal(((error.cause as Error).cause as Error).message, 'disk gone');
    return true;
  });
});

test('what HTTP cannot carry is refused before anything is sent', async (t) => {
  const s3 = await startFakeS3(t, answerStored);
  const storage = s3.storage();
  const body = payloadFrom([Buffer.from('x')]);
  const expected = { outcome: 'refused', retryable: false, s3Code: 'InvalidRequest' } as const;
  await failsAs(storage.putObject('k', body, { contentType: 'text/plain\r\nx-evil: 1' }), expected);
  await failsAs(storage.putObject('k', body, { contentType: 'text/ü' }), expected);
  await failsAs(storage.putObject('half a pair \ud800', body, {}), expected);
  assert.equal(s3.requests.length, 0);
});

test('after a skewed signature the next one is made for the clock of the server', async (t) => {
  const serverTime = new Date(Date.now() + 3_600_000);
  const dates: string[] = [];
  const s3 = await startFakeS3(t, (req, res, recorded) => {
    dates.push(String(req.headers['x-amz-date']));
    if (dates.length > 1) answerStored(req, res);
    else answerError(403, 'RequestTimeTooSkewed', { date: serverTime.toUTCString() })(req, res, recorded);
  });
  const storage = s3.storage();
  const body = payloadFrom([Buffer.from('x')]);
  await failsAs(storage.putObject('k', body, {}), { outcome: 'refused', retryable: true });
  await storage.putObject('k', body, {});
  const iso = String(dates[1]).replace(/(\d{4})(\d\d)(\d\dT\d\d)(\d\d)(\d\dZ)/, '$1-$2-$3:$4:$5');
  const signedMs = Date.parse(iso);
  assert.ok(Math.abs(signedMs - serverTime.getTime()) < 60_000, `signed for ${dates[1]}`);
});
