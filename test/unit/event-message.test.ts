import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileEvent } from '../../src/pipeline/event-bus.ts';
import { packEvents, unpackEvents } from '../../src/pipeline/event-message.ts';

const events: FileEvent[] = Array.from({ length: 500 }, (_, index) => ({
  type: 'progress',
  uploadId: `ümlaut-${index}`,
  offset: index,
  length: index % 2 === 0 ? null : 2 ** 43,
}));

test('many events go in a few messages, each below what Postgres takes, and come out as they went in', () => {
  const messages = packEvents('node', events);
  assert.ok(messages.length > 1 && messages.length < 20);
  for (const message of messages) assert.ok(Buffer.byteLength(message) < 8_000);
  const arrived = messages.map((message) => unpackEvents(message));
  assert.deepEqual(
    arrived.flatMap((message) => message?.events),
    events,
  );
  assert.ok(arrived.every((message) => message?.from === 'node'));
});

test('no events make no message, and one that is too large keeps the others from nothing', () => {
  assert.deepEqual(packEvents('node', []), []);
  const huge: FileEvent = { type: 'deleted', fileId: 'x'.repeat(9_000) };
  const small: FileEvent = { type: 'deleted', fileId: 'small' };
  assert.deepEqual(packEvents('node', [huge, small]).map(unpackEvents), [{ from: 'node', events: [small] }]);
});

test('what is no message of ours is null, and events of unknown kinds are left out', () => {
  for (const text of ['', 'hello', '1', 'null', '[]', '{}', '{"from":1,"events":[]}', '{"from":"a","events":{}}']) {
    assert.equal(unpackEvents(text), null, text);
  }
  const mixed = {
    from: 'newer',
    events: [
      null,
      'finished',
      { type: 'renamed', fileId: 'x' },
      { type: 'finished' },
      { type: 'finished', fileId: 'y' },
    ],
  };
  assert.deepEqual(unpackEvents(JSON.stringify(mixed))?.events, [{ type: 'finished', fileId: 'y' }]);
  const negative = { from: 'n', events: [{ type: 'progress', uploadId: 'x', offset: -1, length: null }] };
  assert.deepEqual(unpackEvents(JSON.stringify(negative))?.events, []);
});

test('how an upload ended comes out as it went in; a way to end that we do not know is left out', () => {
  const known: FileEvent[] = [{ type: 'ended', uploadId: 'x', state: 'expired' }, { type: 'missed' }];
  assert.deepEqual(unpackEvents(packEvents('node', known)[0] ?? '')?.events, known);
  const strange = { from: 'newer', events: [{ type: 'ended', uploadId: 'x', state: 'evaporated' }, ...known] };
  assert.deepEqual(unpackEvents(JSON.stringify(strange))?.events, known);
});
