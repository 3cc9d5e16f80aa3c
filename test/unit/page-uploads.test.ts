/** What the page says of an upload: the pure parts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { splitName } from '../../client/src/file-name.ts';
import { formatTimeLeft } from '../../client/src/format.ts';
import { type UploadFacts, viewOf } from '../../client/src/uploads/card-view.ts';
import { refusalSentence } from '../../client/src/uploads/refusal.ts';
import { SpeedEstimator } from '../../client/src/uploads/speed-estimator.ts';
import { Transfer } from '../../client/src/uploads/transfer.ts';

const MB = 2 ** 20;

/** Bytes that come evenly, a word every 100 ms. */
function send(speed: SpeedEstimator, from: { atMs: number; bytes: number }, ms: number, bytesPerSec: number): void {
  for (let passed = 0; passed <= ms; passed += 100) {
    speed.add(from.atMs + passed, from.bytes + (bytesPerSec * passed) / 1000);
  }
}

test('a speed is told after two seconds, not before', () => {
  const speed = new SpeedEstimator();
  send(speed, { atMs: 0, bytes: 0 }, 1_900, MB);
  assert.equal(speed.bytesPerSec(1_900), null);
  speed.add(2_000, 2 * MB);
  assert.equal(speed.bytesPerSec(2_000), MB);
});

test('an upload that goes on at byte 900,000,000 is as fast as what it sends from there', () => {
  const speed = new SpeedEstimator();
  send(speed, { atMs: 500_000, bytes: 900e6 }, 3_000, MB);
  assert.equal(Math.round(speed.bytesPerSec(503_000) ?? 0), MB);
});

test('only the last ten seconds count', () => {
  const speed = new SpeedEstimator();
  send(speed, { atMs: 0, bytes: 0 }, 60_000, 50 * MB);
  send(speed, { atMs: 60_000, bytes: 3000 * MB }, 12_000, MB);
  assert.equal(Math.round((speed.bytesPerSec(72_000) ?? 0) / MB), 1);
});

test('a break is forgotten: no speed, then the new one alone', () => {
  const speed = new SpeedEstimator();
  send(speed, { atMs: 0, bytes: 0 }, 5_000, 10 * MB);
  speed.reset();
  assert.equal(speed.bytesPerSec(5_000), null);
  send(speed, { atMs: 65_000, bytes: 50 * MB }, 1_000, MB);
  assert.equal(speed.bytesPerSec(66_000), null);
  send(speed, { atMs: 66_000, bytes: 51 * MB }, 2_000, MB);
  assert.equal(Math.round((speed.bytesPerSec(68_000) ?? 0) / MB), 1);
});

test('what has gone silent has no speed, and bytes that are sent again begin a new estimate', () => {
  const speed = new SpeedEstimator();
  send(speed, { atMs: 0, bytes: 0 }, 5_000, MB);
  assert.notEqual(speed.bytesPerSec(8_900), null);
  assert.equal(speed.bytesPerSec(9_000), null);
  speed.add(9_100, 2 * MB); // the server holds less than had left
  assert.equal(speed.bytesPerSec(9_100), null);
  send(speed, { atMs: 9_100, bytes: 2 * MB }, 2_000, MB);
  assert.equal(Math.round((speed.bytesPerSec(11_100) ?? 0) / MB), 1);
});

test('a time that is left is never zero, and as exact as it can be', () => {
  const said = [0, 0.4, 44.6, 59.4, 59.5, 90, 3_599, 3_600, 4_800, 200_000].map(formatTimeLeft);
  assert.deepEqual(said, [
    ...['1 s left', '1 s left', '45 s left', '59 s left', '1 min left', '2 min left', '1 h left', '1 h left'],
    ...['1 h 20 min left', '2 days left'],
  ]);
});

const sending: UploadFacts = {
  phase: 'sending',
  totalBytes: 200 * MB,
  doneBytes: 12 * MB,
  bytesPerSec: null,
  away: null,
  silentMs: 0,
  reason: null,
};

test('a card tells the amount first, speed and time when they are known', () => {
  assert.equal(viewOf(sending).status, '12 MB of 200 MB');
  assert.equal(viewOf({ ...sending, bytesPerSec: 4 * MB }).status, '12 MB of 200 MB · 4 MB/s · 47 s left');
});

test('with the server away a card waits, says no time, and can be paused and cancelled', () => {
  for (const away of [{ away: { said: null } }, { silentMs: 4_000 }]) {
    const { tone, status, actions } = viewOf({ ...sending, bytesPerSec: 4 * MB, ...away });
    assert.deepEqual([tone, status], ['waiting', 'Waiting for the server … 12 MB of 200 MB']);
    assert.deepEqual(actions, ['pause', 'cancel']);
  }
  const { status } = viewOf({ ...sending, away: { said: 'the storage cannot be reached for now.' } });
  assert.equal(status, 'Waiting for the server … the storage cannot be reached for now.');
});

test('when all is sent it is the server’s turn, which is no silence', () => {
  const { tone, status } = viewOf({ ...sending, doneBytes: 200 * MB, silentMs: 60_000 });
  assert.deepEqual([tone, status], ['busy', '200 MB sent · storing …']);
});

test('an upload that is not moving offers only what makes sense', () => {
  const actionsOf = (phase: UploadFacts['phase']) => viewOf({ ...sending, phase }).actions;
  assert.deepEqual(actionsOf('paused'), ['resume', 'cancel']);
  assert.deepEqual(actionsOf('missing'), ['choose', 'cancel']);
  assert.deepEqual(actionsOf('failed'), ['retry', 'dismiss']);
  assert.deepEqual(actionsOf('refused'), ['dismiss']);
  assert.deepEqual(actionsOf('stored'), []);
});

test('after a pause neither the old speed nor an old trouble is told', () => {
  const file = { size: 200 * MB, progress: {} };
  const transfer = new Transfer(0);
  transfer.started = true;
  transfer.requestBegan(0);
  for (let atMs = 0; atMs <= 5_000; atMs += 100) transfer.moved(atMs, atMs * 1_000);
  assert.notEqual(transfer.facts(file, 5_000, false).bytesPerSec, null);
  transfer.wentAway('busy.');
  transfer.begin();
  assert.equal(transfer.facts({ ...file, isPaused: true }, 5_100, false).phase, 'paused');
  transfer.requestBegan(600_000);
  assert.equal(transfer.moved(600_100, 90 * MB), 0, 'where it goes on is not what was sent');
  const { bytesPerSec, away, doneBytes } = transfer.facts(file, 600_200, false);
  assert.deepEqual([bytesPerSec, away, doneBytes], [null, null, 90 * MB]);
});

test('a refusal is told in the server’s words, without its code; a page of a proxy is not', () => {
  assert.equal(
    refusalSentence(413, 'ERR_MAX_SIZE_EXCEEDED: the upload is larger than 1 MiB\n'),
    'The server refused it: the upload is larger than 1 MiB.',
  );
  assert.equal(
    refusalSentence(413, '<html>413 Request Entity Too Large</html>'),
    'The server refused it (413, too large).',
  );
  assert.equal(refusalSentence(507, ''), 'The server refused it (507, its storage is full).');
  assert.equal(refusalSentence(418, 'x'.repeat(5_000)), 'The server refused it (418).');
  assert.equal(refusalSentence(0, ''), 'The connection broke.');
});

test('a name is cut before its end, so that the extension stays, and never through a character', () => {
  assert.deepEqual(splitName('Screenshot of the holiday.png'), ['Screenshot of the ho', 'liday.png']);
  assert.deepEqual(splitName('a.png'), ['', 'a.png']);
  assert.deepEqual(splitName('.gitignore'), ['.giti', 'gnore']);
  assert.deepEqual(splitName('no extension'), ['no exte', 'nsion']);
  assert.deepEqual(splitName('a sentence. With a long one after'), ['a sentence. With a long one ', 'after']);
  const family = '👩‍👩‍👧‍👦';
  assert.deepEqual(splitName(`${family.repeat(7)}.bin`), [family.repeat(2), `${family.repeat(5)}.bin`]);
});
