import assert from 'node:assert/strict';
import { test } from 'node:test';
import { beatEveryMs, Heartbeat } from '../../src/relay/heartbeat.ts';

const cases = [
  { uploadExpiresSecs: 86_400, shared: true, everyMs: 60_000 },
  { uploadExpiresSecs: 86_400, shared: false, everyMs: 5_000 },
  { uploadExpiresSecs: 90, shared: true, everyMs: 30_000 },
  { uploadExpiresSecs: 9, shared: true, everyMs: 3_000 },
  { uploadExpiresSecs: 9, shared: false, everyMs: 3_000 },
];

for (const { uploadExpiresSecs, shared, everyMs } of cases) {
  const lock = shared ? 'a common lock' : 'no common lock';
  test(`with ${lock} and an expiry of ${uploadExpiresSecs} s a writer is never silent for longer than ${everyMs} ms`, async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const rule = { uploadExpiresSecs, isLockShared: () => shared };
    assert.equal(beatEveryMs(rule), everyMs);
    const writer = new SilentWriter();
    const heartbeat = new Heartbeat(writer, rule);
    let longestMs = 0;
    for (let passedMs = 0; passedMs < 5 * everyMs; passedMs += 100) {
      writer.sinceLookMs += 100;
      longestMs = Math.max(longestMs, writer.sinceLookMs);
      t.mock.timers.tick(100);
      await Promise.resolve();
    }
    await heartbeat.stop();
    assert.ok(longestMs <= everyMs, `${longestMs} ms of silence`);
    assert.ok(writer.looks <= 10, `${writer.looks} statements`);
  });
}

test('one that commits often says nothing beside its commits', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const writer = new SilentWriter();
  const heartbeat = new Heartbeat(writer, { uploadExpiresSecs: 86_400, isLockShared: () => true });
  for (let turn = 0; turn < 100; turn++) {
    writer.sinceLookMs = 10_000;
    t.mock.timers.tick(5_000);
  }
  await heartbeat.stop();
  assert.equal(writer.looks, 0);
});

test('while a statement hangs there is no second one, and the end waits for it', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const writer = new SilentWriter();
  const hanging = Promise.withResolvers<void>();
  writer.answer = () => hanging.promise;
  const heartbeat = new Heartbeat(writer, { uploadExpiresSecs: 86_400, isLockShared: () => false });
  writer.sinceLookMs = 60_000;
  t.mock.timers.tick(30_000);
  assert.equal(writer.looks, 1);
  let stopped = false;
  const stopping = heartbeat.stop().then(() => {
    stopped = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(stopped, false);
  hanging.reject(new Error('the database went away'));
  await stopping;
});

class SilentWriter {
  sinceLookMs = 0;
  looks = 0;
  readonly ended = false;
  answer: () => Promise<void> = async () => {};

  look(): Promise<void> {
    this.looks += 1;
    this.sinceLookMs = 0;
    return this.answer();
  }
}
