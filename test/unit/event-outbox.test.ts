import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileEvent } from '../../src/pipeline/event-bus.ts';
import { EventOutbox } from '../../src/pipeline/event-outbox.ts';

const progress = (uploadId: string, offset: number): FileEvent => ({ type: 'progress', uploadId, offset, length: 100 });

test('of an upload’s progress only the last is kept', () => {
  const outbox = new EventOutbox();
  for (const offset of [1, 2, 3]) outbox.add(progress('one', offset));
  outbox.add(progress('two', 7));
  assert.deepEqual(outbox.takeProgress(), [progress('one', 3), progress('two', 7)]);
  assert.deepEqual(outbox.takeProgress(), []);
});

test('what happened is kept in its order, the same thing once', () => {
  const outbox = new EventOutbox();
  outbox.add({ type: 'finished', fileId: 'one' });
  outbox.add({ type: 'thumbnails', fileId: 'two' });
  outbox.add({ type: 'thumbnails', fileId: 'one' });
  outbox.add({ type: 'thumbnails', fileId: 'two' });
  assert.deepEqual(outbox.takeOthers(), [
    { type: 'finished', fileId: 'one' },
    { type: 'thumbnails', fileId: 'one' },
    { type: 'thumbnails', fileId: 'two' },
  ]);
});

test('the progress of an upload that has ended is forgotten', () => {
  const outbox = new EventOutbox();
  outbox.add(progress('one', 1));
  outbox.add({ type: 'finished', fileId: 'one' });
  assert.deepEqual(outbox.takeProgress(), []);
});

test('the progress of an upload that has ended elsewhere is forgotten', () => {
  const outbox = new EventOutbox();
  outbox.add(progress('one', 1));
  outbox.forgetProgress('one');
  outbox.add(progress('two', 1));
  outbox.add({ type: 'ended', uploadId: 'two', state: 'expired' });
  assert.deepEqual(outbox.takeProgress(), []);
  assert.deepEqual(outbox.takeOthers(), [{ type: 'ended', uploadId: 'two', state: 'expired' }]);
});

test('of progress that nobody takes the newest is kept', () => {
  const outbox = new EventOutbox();
  for (let index = 0; index < 5_000; index += 1) outbox.add(progress(`upload-${index}`, 0));
  const kept = outbox.takeProgress();
  assert.equal(kept.length, 2_000);
  assert.match(JSON.stringify(kept.at(-1)), /-4999"/);
});

test('ends that nobody takes are not dropped in silence: who hears of them later is told to look at everything', () => {
  const outbox = new EventOutbox();
  for (let index = 0; index < 5_000; index += 1) outbox.add({ type: 'deleted', fileId: `file-${index}` });
  outbox.add(progress('one', 1));
  assert.deepEqual(outbox.takeOthers(), [{ type: 'missed' }]);
  assert.deepEqual(outbox.takeProgress(), []);
  outbox.add({ type: 'deleted', fileId: 'next' });
  assert.deepEqual(outbox.takeOthers(), [{ type: 'deleted', fileId: 'next' }]);
});
