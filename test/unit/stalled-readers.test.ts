import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { SendQueues } from '../../src/http/send-queues.ts';
import { StalledReaders } from '../../src/http/stalled-readers.ts';

const IDLE_MS = 30_000;

/** A connection of which the system has taken `taken` bytes, with `waiting` more in Node's buffer. */
class FakeSocket extends EventEmitter {
  localPort = 80;
  remotePort = 5_000;
  taken = 0;
  waiting = 0;
  isCut = false;

  get writableLength(): number {
    return this.waiting;
  }

  get bytesWritten(): number {
    return this.taken + this.waiting;
  }

  resetAndDestroy(): void {
    this.isCut = true;
    this.emit('close');
  }
}

/** Looks once a second of a time that the test moves. */
function watchOne(t: TestContext) {
  const socket = new FakeSocket();
  const queues = new Map<string, number>();
  let nowMs = 0;
  let questions = 0;
  const readQueues = async (): Promise<SendQueues> => {
    questions += 1;
    return new Map(queues);
  };
  const readers = new StalledReaders(IDLE_MS, readQueues, () => nowMs);
  t.after(() => readers.stop());
  readers.watch(socket as unknown as Socket);
  return {
    socket,
    questions: () => questions,
    acknowledge: (unacknowledgedBytes: number) => queues.set('80:5000', unacknowledgedBytes),
    async pass(secs: number, eachSecond = () => {}) {
      for (let second = 0; second < secs; second += 1) {
        nowMs += 1_000;
        eachSecond();
        await readers.look();
      }
    },
  };
}

test('a client that takes nothing is cut off when its time is over, and not before', async (t) => {
  const { socket, pass, acknowledge } = watchOne(t);
  socket.waiting = 100;
  acknowledge(500);
  await pass(29);
  assert.equal(socket.isCut, false);
  await pass(2);
  assert.equal(socket.isCut, true);
});

test('a client that has all there is for it may be silent for ever', async (t) => {
  const { socket, pass, questions } = watchOne(t);
  socket.taken = 100;
  await pass(1_000);
  assert.equal(socket.isCut, false);
  assert.equal(questions(), 0);
});

test('its time begins anew with every byte that is taken', async (t) => {
  const { socket, pass } = watchOne(t);
  socket.waiting = 100;
  for (let lump = 0; lump < 5; lump += 1) {
    await pass(28);
    socket.taken += 1;
  }
  assert.equal(socket.isCut, false);
  await pass(32);
  assert.equal(socket.isCut, true);
});

test('time in which there was nothing to take does not count', async (t) => {
  const { socket, pass } = watchOne(t);
  await pass(100);
  socket.waiting = 100;
  await pass(29);
  assert.equal(socket.isCut, false);
});

test('a slow client for which the system takes nothing new, but which acknowledges some, goes on', async (t) => {
  const { socket, pass, acknowledge } = watchOne(t);
  socket.waiting = 100;
  let unacknowledged = 4_000_000;
  await pass(300, () => {
    unacknowledged -= 1_000;
    acknowledge(unacknowledged);
  });
  assert.equal(socket.isCut, false);
  await pass(32);
  assert.equal(socket.isCut, true);
});

test('where the system does not tell, only what it takes counts', async (t) => {
  const { socket, pass } = watchOne(t);
  socket.waiting = 100;
  await pass(31);
  assert.equal(socket.isCut, true);
});
