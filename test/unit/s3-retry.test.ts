import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withS3Retry } from '../../src/relay/s3-retry.ts';
import { S3Error } from '../../src/s3/s3-errors.ts';
import { impatientClock } from '../support/test-relay.ts';

for (const chance of [0, 0.999]) {
  test(`a storage that is away for ten seconds fails nobody (jitter ${chance})`, async () => {
    const clock = { ...impatientClock(), random: () => chance };
    const call = async () => {
      if (clock.now() < 10_000) throw new S3Error('PutObject', 'ECONNREFUSED', null, 'refused', { retryable: true });
      return 'stored';
    };
    assert.equal(await withS3Retry(clock, call), 'stored');
  });
}

test('a storage that stays away is given up', async () => {
  const clock = impatientClock();
  const error = new S3Error('PutObject', 'SlowDown', 503, 'unknown');
  await assert.rejects(
    withS3Retry(clock, () => Promise.reject(error)),
    error,
  );
  assert.ok(clock.now() < 30_000);
});
