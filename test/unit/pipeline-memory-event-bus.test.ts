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
