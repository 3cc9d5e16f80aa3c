import assert from 'node:assert/strict';
import test from 'node:test';
import { StartError } from '../../src/errors.ts';
import { checkBucket, createBucketIfMissing, waitForBucket } from '../../src/s3/check-bucket.ts';
import { answerError, answerXml, startFakeS3 } from '../support/fake-s3-server.ts';

const LISTING = '<ListBucketResult><Name>test-bucket</Name><IsTruncated>false</IsTruncated></ListBucketResult>';
const HOUR_MS = 3_600_000;

const ANSWERS: {
  what: string;
  answer: Parameters<typeof startFakeS3>[1];
  kind: string;
  says: RegExp;
  retry?: boolean;
}[] = [
  {
    what: 'no such bucket',
    answer: answerError(404, 'NoSuchBucket'),
    kind: 'missing',
    says: /no bucket "test-bucket"/,
  },
  {
    what: 'an unknown access key',
    answer: answerError(403, 'InvalidAccessKeyId'),
    kind: 'credentials',
    says: /does not accept our credentials \(InvalidAccessKeyId\)/,
  },
  {
    what: 'a wrong secret',
    answer: answerError(403, 'SignatureDoesNotMatch'),
    kind: 'credentials',
    says: /does not accept our credentials/,
  },
  { what: 'no permission', answer: answerError(403, 'AccessDenied'), kind: 'listing', says: /may not list bucket/ },
  {
    what: 'a clock that is off',
    answer: (req, res, recorded) =>
      answerError(403, 'RequestTimeTooSkewed', { date: new Date(Date.now() + HOUR_MS).toUTCString() })(
        req,
        res,
        recorded,
      ),
    kind: 'clock',
    says: /clock is 60 minutes behind the server's/,
  },
  {
    what: 'a clock that is off, called a wrong signature',
    answer: (req, res, recorded) =>
      answerError(403, 'SignatureDoesNotMatch', { date: new Date(Date.now() - HOUR_MS).toUTCString() })(
        req,
        res,
        recorded,
      ),
    kind: 'clock',
    says: /clock is 60 minutes ahead of the server's/,
  },
  {
    what: 'a bucket of another region',
    answer: answerError(301, 'PermanentRedirect', { 'x-amz-bucket-region': 'eu-central-1' }),
    kind: 'region',
    says: /in region eu-central-1, not us-east-1: set AWS_REGION/,
  },
  {
    what: 'a server that is still starting',
    answer: answerError(503, 'XMinioServerNotInitialized'),
    kind: 'unreachable',
    says: /not ready/,
    retry: true,
  },
  {
    what: 'a web server that is no S3',
    answer: (_req, res) => res.writeHead(200, { 'content-type': 'text/html' }).end('<html><p>Welcome</html>'),
    kind: 'refused',
    says: /does not answer .* as S3 does/,
    retry: true,
  },
];

for (const { what, answer, kind, says, retry = false } of ANSWERS) {
  test(`the start says it plainly: ${what}`, async (t) => {
    const s3 = await startFakeS3(t, answer);
    const target = { bucket: 'test-bucket', region: 'us-east-1', endpoint: s3.endpoint };
    const problem = await checkBucket(s3.storage().client, target);
    assert.equal(problem?.kind, kind);
    assert.match(problem?.message ?? '', says);
    assert.match(problem?.message ?? '', /^[^\n]+\.$/);
    assert.equal(problem?.retry, retry);
  });
}

test('a bucket that is there is no problem', async (t) => {
  const s3 = await startFakeS3(t, answerXml(LISTING));
  assert.equal(await checkBucket(s3.storage().client, { bucket: 'test-bucket', region: 'us-east-1' }), null);
});

test('the start waits for a server that is still coming up', async (t) => {
  let asked = 0;
  const s3 = await startFakeS3(t, (req, res, recorded) => {
    asked += 1;
    (asked === 1 ? answerError(503, 'ServiceUnavailable') : answerXml(LISTING))(req, res, recorded);
  });
  await waitForBucket(s3.storage().client, { bucket: 'test-bucket', region: 'us-east-1' }, 30_000);
  assert.equal(asked, 2);
});

test('the start does not wait for what will not pass', async (t) => {
  const s3 = await startFakeS3(t, answerError(404, 'NoSuchBucket'));
  const target = { bucket: 'test-bucket', region: 'us-east-1', endpoint: s3.endpoint };
  await assert.rejects(waitForBucket(s3.storage().client, target, 30_000), StartError);
  assert.equal(s3.requests.length, 1);
});

test('when the time is up the last problem is told, without the password of the endpoint', async (t) => {
  const s3 = await startFakeS3(t, answerError(503, 'ServiceUnavailable'));
  const endpoint = s3.endpoint.replace('http://', 'http://user:password@');
  await assert.rejects(
    waitForBucket(s3.storage().client, { bucket: 'test-bucket', region: 'us-east-1', endpoint }, 50),
    (error: Error) => {
      assert.ok(error instanceof StartError);
      assert.match(error.message, /^S3 at 127\.0\.0\.1:\d+ is not ready \(ServiceUnavailable, 503\)\.$/);
      return true;
    },
  );
});

test('a server that takes the question and never answers is told as that', async (t) => {
  const s3 = await startFakeS3(t, () => {});
  const target = { bucket: 'test-bucket', region: 'us-east-1', endpoint: s3.endpoint };
  await assert.rejects(waitForBucket(s3.storage().client, target, 50), /cannot be reached \(no answer in time\)/);
});

test('creating the bucket is no error when it is ours already', async (t) => {
  const s3 = await startFakeS3(t, answerError(409, 'BucketAlreadyOwnedByYou'));
  await createBucketIfMissing(s3.storage().client, 'test-bucket');
  assert.equal(s3.requests[0]?.method, 'PUT');
  const refusing = await startFakeS3(t, answerError(403, 'AccessDenied'));
  await assert.rejects(createBucketIfMissing(refusing.storage().client, 'test-bucket'), /AccessDenied/);
});
