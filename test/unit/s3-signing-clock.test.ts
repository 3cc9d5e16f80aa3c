import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startDevS3 } from '../../src/dev-s3/dev-s3-server.ts';
import { payloadFrom } from '../../src/s3/payload.ts';
import { S3ObjectStorage } from '../../src/s3/s3-object-storage.ts';
import { SigningClock } from '../../src/s3/signing-clock.ts';
import { TEST_SETTINGS } from '../support/fake-s3-server.ts';

const NOW_MS = 1_800_000_000_000;
const MINUTE_MS = 60_000;

/** @param tookMs from the sending of the request to the coming of the answer */
function hear(clock: SigningClock, aheadMs: number, wishes: { status?: number; tookMs?: number; age?: string } = {}) {
  const { status = 200, tookMs = 0, age } = wishes;
  const date = new Date(NOW_MS + aheadMs).toUTCString();
  clock.hear(status, { date, ...(age === undefined ? {} : { age }) }, NOW_MS - tookMs);
}

const clockNow = () => new SigningClock(() => NOW_MS);

for (const aheadMs of [10 * MINUTE_MS, -10 * MINUTE_MS, 5_000, -5_000]) {
  test(`an answer that is dated ${aheadMs / 1_000} s ahead corrects what follows, before it is too much`, () => {
    const clock = clockNow();
    hear(clock, aheadMs);
    assert.ok(Math.abs(clock.offsetMs - aheadMs) <= 1_000, String(clock.offsetMs));
    assert.equal(clock.date().getTime(), NOW_MS + clock.offsetMs);
    const once = clock.offsetMs;
    hear(clock, aheadMs);
    assert.equal(clock.offsetMs, once, 'and once is enough');
  });
}

for (const status of [400, 403]) {
  for (const aheadMs of [40 * MINUTE_MS, -40 * MINUTE_MS]) {
    test(`a refusal (${status}) is believed when it is dated ${aheadMs / MINUTE_MS} minutes ahead`, () => {
      const clock = clockNow();
      hear(clock, aheadMs, { status });
      assert.ok(Math.abs(clock.offsetMs - aheadMs) <= 1_000, String(clock.offsetMs));
    });
  }
}

test('an answer that took long, or was read late, says nothing that was not so', () => {
  const clock = clockNow();
  for (const aheadMs of [-30 * MINUTE_MS, -5 * MINUTE_MS, 0]) hear(clock, aheadMs, { tookMs: 31 * MINUTE_MS });
  assert.equal(clock.offsetMs, 0);
});

test('what cannot be the clock of S3 is not believed', () => {
  const clock = clockNow();
  hear(clock, 40 * MINUTE_MS, { status: 200 });
  hear(clock, -40 * MINUTE_MS, { status: 502 });
  hear(clock, 10 * MINUTE_MS, { age: '600' });
  for (const date of [undefined, '', 'soon', '2', 'foo 1', '2026-11-28T00:00:00Z', 'Xxx, 99 Yyy 2026 00:00:00 GMT']) {
    clock.hear(403, date === undefined ? {} : { date }, NOW_MS);
  }
  assert.equal(clock.offsetMs, 0);
});

test('a wall clock that was set back during a call waits for the next answer', () => {
  const clock = clockNow();
  hear(clock, 0, { tookMs: -20 * MINUTE_MS });
  assert.equal(clock.offsetMs, 0);
});

async function startSkewedS3(t: TestContext, aheadMs: () => number): Promise<S3ObjectStorage> {
  const folder = await mkdtemp(join(tmpdir(), 'tus-relay-skew-'));
  const credentials = TEST_SETTINGS.credentials ?? assert.fail();
  const { region, bucket } = TEST_SETTINGS;
  const now = () => new Date(Date.now() + aheadMs());
  const server = await startDevS3({ port: 0, dataDir: folder, credentials, region, buckets: [bucket], now });
  const storage = new S3ObjectStorage({ ...TEST_SETTINGS, endpoint: server.url });
  t.after(async () => {
    storage.close();
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  return storage;
}

const body = payloadFrom([Buffer.from('hello')]);

for (const aheadMs of [20 * MINUTE_MS, -20 * MINUTE_MS]) {
  test(`with a server whose clock is ${aheadMs / MINUTE_MS} minutes ahead, reads work at once, and writes at the second try`, async (t) => {
    const reading = await startSkewedS3(t, () => aheadMs);
    assert.equal(await reading.headObject('nothing'), null);
    const writing = await startSkewedS3(t, () => aheadMs);
    await assert.rejects(writing.putObject('key', body, {}), { s3Code: 'RequestTimeTooSkewed', retryable: true });
    await writing.putObject('key', body, {});
    assert.equal((await writing.headObject('key'))?.bytes, 5);
    const started = await startSkewedS3(t, () => aheadMs);
    await assert.rejects(started.createMultipartUpload('big', {}), { s3Code: 'RequestTimeTooSkewed', retryable: true });
    const { s3UploadId } = await started.createMultipartUpload('big', {});
    await started.uploadPart('big', s3UploadId, 1, body);
  });
}

test('a clock that drifts by hours is followed without a single refusal, by either way to S3', async (t) => {
  let aheadMs = 0;
  const storage = await startSkewedS3(t, () => aheadMs);
  for (let step = 0; step < 12; step++) {
    aheadMs += 10 * MINUTE_MS;
    if (step % 2 === 0) await storage.putObject(`key${step}`, body, {});
    else await storage.deleteObjects([`key${step - 1}`]);
  }
});
