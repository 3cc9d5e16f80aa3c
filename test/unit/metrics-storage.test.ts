import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics } from '../../src/observability/metrics.ts';
import { measuredStorage } from '../../src/s3/measured-storage.ts';
import { payloadFrom } from '../../src/s3/payload.ts';
import { S3Error } from '../../src/s3/s3-errors.ts';
import { answerError, answerStored, startFakeS3 } from '../support/fake-s3-server.ts';
import { MemoryObjectStorage } from '../support/memory-object-storage.ts';
import { Scrape } from '../support/read-metrics.ts';

const COUNT = 'tus_relay_s3_request_duration_seconds_count';
const SENT = 'tus_relay_s3_sent_bytes_total';

test('every call is counted by its operation, and does what it did before', async () => {
  const { s3, registry } = createMetrics();
  const storage = measuredStorage(new MemoryObjectStorage(), s3);
  await storage.putObject('small', payloadFrom([Buffer.from('abc')]), {});
  const { s3UploadId } = await storage.createMultipartUpload('large', {});
  const { etag } = await storage.uploadPart('large', s3UploadId, 1, payloadFrom([Buffer.alloc(1_000)]));
  assert.equal((await storage.listParts('large', s3UploadId))?.length, 1);
  await storage.completeMultipartUpload('large', s3UploadId, [{ partNumber: 1, etag }]);
  assert.equal((await storage.headObject('large'))?.bytes, 1_000);
  assert.equal(await storage.headObject('nothing'), null);
  assert.deepEqual((await storage.listObjects('')).objects.map((object) => object.key).sort(), ['large', 'small']);
  assert.deepEqual(await storage.deleteObjects(['large', 'small']), { failedKeys: [] });
  const seen = new Scrape(await registry.metrics());
  for (const operation of [
    'PutObject',
    'CreateMultipartUpload',
    'UploadPart',
    'ListParts',
    'CompleteMultipartUpload',
  ]) {
    assert.equal(seen.find(`${COUNT}{operation="${operation}",outcome="ok"}`), 1, operation);
  }
  assert.equal(seen.find(`${COUNT}{operation="HeadObject",outcome="ok"}`), 2);
  assert.equal(seen.find(`${SENT}{operation="PutObject"}`), 3);
  assert.equal(seen.find(`${SENT}{operation="UploadPart"}`), 1_000);
});

const failures: [status: number, code: string, outcome: string][] = [
  [403, 'AccessDenied', 'refused'],
  [503, 'SlowDown', 'retryable'],
  [500, 'InternalError', 'retryable'],
  [501, 'NotImplemented', 'refused'],
];
for (const [status, code, outcome] of failures) {
  test(`a call that S3 answers with ${status} ${code} is counted as ${outcome}, and fails as it did before`, async (t) => {
    const { s3, registry } = createMetrics();
    const fake = await startFakeS3(t, answerError(status, code));
    const storage = measuredStorage(fake.storage(), s3);
    await assert.rejects(
      storage.putObject('key', payloadFrom([Buffer.from('abc')]), {}),
      (error: unknown) => error instanceof S3Error && error.s3Code === code,
    );
    const seen = new Scrape(await registry.metrics());
    assert.equal(seen.find(`${COUNT}{operation="PutObject",outcome="${outcome}"}`), 1);
    assert.equal(seen.sum(COUNT), 1);
    assert.equal(seen.sum(SENT), 0);
  });
}

test('a call that we end ourselves is counted as aborted', async (t) => {
  const { s3, registry } = createMetrics();
  const stop = new AbortController();
  const fake = await startFakeS3(t, () => stop.abort());
  await assert.rejects(measuredStorage(fake.storage(), s3).headObject('key', { signal: stop.signal }));
  const seen = new Scrape(await registry.metrics());
  assert.equal(seen.find(`${COUNT}{operation="HeadObject",outcome="aborted"}`), 1);
});

test('each attempt is counted for itself', async (t) => {
  const { s3, registry } = createMetrics();
  let attempts = 0;
  const fake = await startFakeS3(t, (...exchange) => {
    attempts += 1;
    (attempts === 1 ? answerError(503, 'SlowDown') : answerStored)(...exchange);
  });
  const storage = measuredStorage(fake.storage(), s3);
  const put = () => storage.putObject('key', payloadFrom([Buffer.from('abc')]), {});
  await assert.rejects(put());
  await put();
  const seen = new Scrape(await registry.metrics());
  assert.equal(seen.find(`${COUNT}{operation="PutObject",outcome="retryable"}`), 1);
  assert.equal(seen.find(`${COUNT}{operation="PutObject",outcome="ok"}`), 1);
});
