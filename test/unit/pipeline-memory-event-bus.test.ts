import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileEvent } from '../../src/pipeline/event-bus.ts';
import { MemoryEventBus } from '../../src/pipeline/memory-event-bus.ts';

const finished = (fileId: string): FileEvent => ({ type: 'finished', fileId });

function setUp() {
  const failures: unknown[] = [];
  const bus = new MemoryEventBus((error) => failures.push(error));
  return { bus, failures };
}

test('every listener hears every event, in order', () => {
  const { bus } = setUp();
  const heard: string[] = [];
  bus.subscribe((event) => heard.push(`a ${event.type}`));
  bus.subscribe((event) => heard.push(`b ${event.type}`));
  bus.publish(finished('1'));
  bus.publish({ type: 'deleted', fileId: '1' });
  assert.deepEqual(heard, ['a finished', 'b finished', 'a deleted', 'b deleted']);
});

test('a listener that throws harms neither the publisher nor the others, and is told of', () => {
  const { bus, failures } = setUp();
  const heard: FileEvent[] = [];
  const failure = new Error('no');
  bus.subscribe(() => {
    throw failure;
  });
  bus.subscribe((event) => heard.push(event));
  bus.publish(finished('1'));
  bus.publish(finished('2'));
  assert.deepEqual(heard, [finished('1'), finished('2')]);
  assert.deepEqual(failures, [failure, failure]);
});

test('an ended subscription hears nothing more, also when it is ended by a listener before it', () => {
  const { bus } = setUp();
  const heard: string[] = [];
  const ends: (() => void)[] = [];
  ends.push(
    bus.subscribe(() => {
      heard.push('first');
      for (const end of ends) end();
    }),
    bus.subscribe(() => heard.push('second')),
  );
  bus.publish(finished('1'));
  bus.publish(finished('2'));
  assert.deepEqual(heard, ['first']);
});

test('a function that subscribes twice is two subscriptions', () => {
  const { bus } = setUp();
  let heard = 0;
  const listener = () => {
    heard += 1;
  };
  const end = bus.subscribe(listener);
  bus.subscribe(listener);
  bus.publish(finished('1'));
  end();
  end();
  bus.publish(finished('2'));
  assert.equal(heard, 3);
});

test('who subscribes during an event hears the next one', () => {
  const { bus } = setUp();
  const heard: FileEvent[] = [];
  const end = bus.subscribe(() => {
    end();
    bus.subscribe((event) => heard.push(event));
  });
  bus.publish(finished('1'));
  bus.publish(finished('2'));
  assert.deepEqual(heard, [finished('2')]);
});

for (const end of [
  { type: 'ended', uploadId: 'u', state: 'terminated' },
  { type: 'finished', fileId: 'u' },
  { type: 'deleted', fileId: 'u' },
] as const) {
  test(`no progress of an upload is told after it has ${end.type}`, () => {
    const { bus } = setUp();
    const heard: FileEvent[] = [];
    bus.subscribe((event) => heard.push(event));
    const progress = (uploadId: string): FileEvent => ({ type: 'progress', uploadId, offset: 1, length: 2 });
    for (const event of [progress('u'), end, progress('u'), progress('other')] as const) bus.publish(event);
    assert.deepEqual(heard, [progress('u'), end, progress('other')]);
  });
}

test('only so many ends are remembered, the last ones', () => {
  const { bus } = setUp();
  const heard: FileEvent[] = [];
  for (let index = 0; index < 50_000; index += 1)
    bus.publish({ type: 'ended', uploadId: `${index}`, state: 'expired' });
  bus.subscribe((event) => heard.push(event));
  bus.publish({ type: 'progress', uploadId: '49999', offset: 1, length: 2 });
  assert.deepEqual(heard, []);
  bus.publish({ type: 'progress', uploadId: '0', offset: 1, length: 2 });
  assert.equal(heard.length, 1);
});
