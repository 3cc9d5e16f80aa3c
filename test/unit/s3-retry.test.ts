import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RetryHooks, type RetryLimits, S3Retry, StorageSlowError } from '../../src/relay/s3-retry.ts';
import type { CallOptions } from '../../src/s3/object-storage.ts';
import { S3Error } from '../../src/s3/s3-errors.ts';
import { impatientClock } from '../support/test-relay.ts';

const CALL_MS = 90_000;
const busy = () => new S3Error('PutObject', 'SlowDown', 503, 'unknown');

/** A call that the test follows on a clock that it moves. */
function follow(
  call: (options: CallOptions, attempt: number) => Promise<string>,
  limits: Partial<RetryLimits> = {},
  hooks: RetryHooks = {},
) {
  const clock = impatientClock();
  const followed = { clock, attempts: 0, unknown: 0, options: [] as CallOptions[] };
  const retry = new S3Retry(clock, { callMs: CALL_MS, ...limits });
  const outcome = retry
    .run(
      (options) => {
        followed.attempts += 1;
        followed.options.push(options);
        return call(options, followed.attempts);
      },
      { ...hooks, onUnknownOutcome: () => void followed.unknown++ },
    )
    .catch((error: unknown) => error);
  let settled = false;
  void outcome.then(() => {
    settled = true;
  });
  return { followed, outcome, isSettled: () => settled };
}

const hang = () => new Promise<string>(() => {});

for (const chance of [0, 0.999]) {
  test(`a storage that is away for ten seconds fails nobody (jitter ${chance})`, async () => {
    const clock = { ...impatientClock(), random: () => chance };
    const call = async () => {
      if (clock.now() < 10_000) throw new S3Error('PutObject', 'ECONNREFUSED', null, 'refused', { retryable: true });
      return 'stored';
    };
    assert.equal(await new S3Retry(clock, { callMs: CALL_MS }).run(call), 'stored');
  });
}

test('a storage that stays away is given up after eleven attempts', async () => {
  const { followed, outcome } = follow(() => Promise.reject(busy()));
  assert.ok((await outcome) instanceof S3Error);
  assert.ok(followed.clock.now() < 30_000);
  assert.equal(followed.attempts, 11);
  assert.equal(followed.unknown, 11);
});

test('a storage that hangs is given up when the time of the call is over, and what it did is unknown', async () => {
  const { followed, outcome, isSettled } = follow(hang);
  await followed.clock.sleep(CALL_MS - 1);
  assert.equal(isSettled(), false);
  await followed.clock.sleep(1);
  const error = await outcome;
  assert.ok(error instanceof StorageSlowError && error.status === 503 && error.code === 'storage_unavailable');
  assert.equal(followed.options[0]?.signal?.aborted, true, 'the attempt was not told');
  assert.equal(followed.attempts, 1);
  assert.equal(followed.unknown, 1);
});

test('the time of a call is that of all its attempts together', async () => {
  const { followed, outcome, isSettled } = follow((_options, attempt) =>
    attempt === 1 ? followed.clock.sleep(60_000).then(() => Promise.reject(busy())) : hang(),
  );
  while (followed.attempts < 2) await followed.clock.sleep(0);
  await followed.clock.sleep(CALL_MS - followed.clock.now() - 1);
  assert.equal(isSettled(), false);
  await followed.clock.sleep(1);
  assert.ok((await outcome) instanceof StorageSlowError);
  assert.equal(followed.clock.now(), CALL_MS);
});

test('a large payload that moves slowly is given its time; sending the same bytes again is no progress', async () => {
  const { followed, outcome, isSettled } = follow(async (options, attempt) => {
    if (attempt > 1) {
      options.onProgress?.(500);
      return hang();
    }
    for (let bytes = 100; bytes <= 1_000; bytes += 100) {
      await followed.clock.sleep(60_000);
      options.onProgress?.(bytes);
    }
    throw busy();
  });
  while (followed.attempts < 2) await followed.clock.sleep(0);
  assert.ok(followed.clock.now() > 6 * CALL_MS);
  await followed.clock.sleep(CALL_MS / 2);
  assert.equal(isSettled(), false);
  await followed.clock.sleep(CALL_MS / 2);
  assert.ok((await outcome) instanceof StorageSlowError);
});

test('for a client that has gone a failing call is repeated for ten seconds more, then no longer', async () => {
  const gone = new AbortController();
  const { followed, outcome } = follow(
    async (_options, attempt) => {
      if (attempt === 1) gone.abort();
      await followed.clock.sleep(1_000);
      throw busy();
    },
    { left: [gone.signal] },
  );
  assert.ok((await outcome) instanceof S3Error);
  assert.ok(followed.attempts > 1);
  assert.ok(followed.clock.now() <= 12_000, `${followed.clock.now()} ms`);
});

test('an attempt that runs when the client leaves comes to its end', async () => {
  const gone = new AbortController();
  const { followed, outcome } = follow(
    async () => {
      gone.abort();
      await followed.clock.sleep(60_000);
      return 'stored';
    },
    { left: [gone.signal] },
  );
  assert.equal(await outcome, 'stored');
});

test('when the process is to end, an attempt gets five seconds in all, and no call a second attempt', async () => {
  const ending = new AbortController();
  const fresh = follow(hang, { ending: ending.signal });
  const old = follow(hang, { ending: ending.signal });
  const failing = follow(() => Promise.reject(busy()), { ending: ending.signal });
  for (const { followed } of [fresh, old]) while (followed.attempts === 0) await followed.clock.sleep(0);
  await old.followed.clock.sleep(20_000);
  await fresh.followed.clock.sleep(3_000);
  ending.abort();
  assert.ok((await old.outcome) instanceof StorageSlowError, 'it has had its five seconds');
  await fresh.followed.clock.sleep(1_999);
  assert.equal(fresh.isSettled(), false);
  await fresh.followed.clock.sleep(1);
  assert.ok((await fresh.outcome) instanceof StorageSlowError);
  assert.ok((await failing.outcome) instanceof S3Error);

  const late = follow(() => Promise.reject(busy()), { ending: ending.signal });
  assert.ok((await late.outcome) instanceof S3Error);
  assert.equal(late.followed.attempts, 1);
});

test('a wait between two attempts is over when the process is to end', async () => {
  const ending = new AbortController();
  const clock = { ...impatientClock(), sleep: sleepUntilAborted };
  const retry = new S3Retry(clock, { callMs: CALL_MS, ending: ending.signal });
  const outcome = assert.rejects(
    retry.run(() => Promise.reject(busy())),
    S3Error,
  );
  await new Promise((resolve) => setImmediate(resolve));
  ending.abort();
  await outcome;
});

function sleepUntilAborted(_ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
}

test('who ends a call by its signal does not wait for the storage', async () => {
  const end = new AbortController();
  const { followed, outcome } = follow(hang, {}, { signal: end.signal });
  await followed.clock.sleep(0);
  end.abort();
  assert.ok((await outcome) instanceof StorageSlowError);
  assert.equal(followed.unknown, 1);
});
