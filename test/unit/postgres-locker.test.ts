import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type NodeMessages, PostgresLocker } from '../../src/locks/postgres-locker.ts';

/** The wire between nodes: everyone hears everything, the sender too. */
class Wire {
  connected = true;
  readonly said: string[] = [];
  readonly #listeners: ((payload: string) => void)[] = [];
  readonly #onChange: ((connected: boolean) => void)[] = [];

  openNode(t: TestContext): PostgresLocker {
    const wire = this;
    const messages: NodeMessages = {
      get connected() {
        return wire.connected;
      },
      listen: (_channel, hear) => this.#listeners.push(hear),
      onChange: (listener) => this.#onChange.push(listener),
      notify: async (_channel, payloads) => {
        if (!this.connected) throw new Error('cut off');
        for (const payload of payloads) {
          this.said.push(payload.split(' ').slice(0, 2).join(' '));
          for (const hear of this.#listeners) hear(payload);
        }
      },
    };
    const locker = new PostgresLocker(messages, 1_000);
    t.after(() => locker.close());
    return locker;
  }

  cut(): void {
    this.connected = false;
    for (const listener of this.#onChange) listener(false);
  }
}

test('a writer is asked by a request on another node, once, and its end wakes that request', async (t) => {
  const wire = new Wire();
  const [a, b] = [wire.openNode(t), wire.openNode(t)];
  let asked = 0;
  const release = await a.acquire({ uploadId: 'u', patient: true, onReleaseRequested: () => (asked += 1) });
  const freed = b.freed('u', 60_000);
  b.askToLetGo('u');
  b.askToLetGo('u');
  assert.equal(asked, 1);
  await release();
  await freed;
  assert.deepEqual(wire.said, ['wanted u', 'wanted u', 'free u']);
});

test('where nobody of another node has asked, nothing is said', async (t) => {
  const wire = new Wire();
  const [a, b] = [wire.openNode(t), wire.openNode(t)];
  await (await a.acquire({ uploadId: 'u' }))();
  b.askToLetGo('other');
  await (await a.acquire({ uploadId: 'u' }))();
  assert.deepEqual(wire.said, ['wanted other']);
});

test('one that asks is not asked by its own question', async (t) => {
  const a = new Wire().openNode(t);
  const release = await a.acquire({ uploadId: 'u', onReleaseRequested: () => assert.fail('asked') });
  a.askToLetGo('u');
  await release();
});

test('of two requests that queue on a node the one that holds is asked, and the next when it holds', async (t) => {
  const wire = new Wire();
  const [a, b] = [wire.openNode(t), wire.openNode(t)];
  const asked: string[] = [];
  const wish = (name: string) => ({ uploadId: 'u', patient: true, onReleaseRequested: () => asked.push(name) });
  const release = await a.acquire(wish('first'));
  const second = a.acquire(wish('second'));
  b.askToLetGo('u');
  assert.deepEqual(asked, ['first']);
  await release();
  const releaseSecond = await second;
  b.askToLetGo('u');
  assert.deepEqual(asked, ['first', 'second']);
  await releaseSecond();
});

test('a wait ends with its time, and with its request', async (t) => {
  const b = new Wire().openNode(t);
  await b.freed('u', 1);
  const gone = new AbortController();
  const waiting = b.freed('u', 60_000, gone.signal);
  gone.abort(new Error('the client has gone'));
  await assert.rejects(waiting, /the client has gone/);
});

test('cut off, the locks of the node go on, and say what they are', async (t) => {
  const wire = new Wire();
  const a = wire.openNode(t);
  assert.deepEqual([a.shared, a.degraded, a.connected], [false, false, true]);
  wire.cut();
  assert.deepEqual([a.shared, a.degraded, a.connected], [false, true, false]);
  const release = await a.acquire({ uploadId: 'u' });
  a.askToLetGo('u');
  await release();
  assert.equal(a.counters.fallbacks, 1);
  assert.equal(a.counters.outages, 1);
});
