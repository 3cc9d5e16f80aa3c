/** What every locker of uploads does, whether its nodes share a process or a Redis. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type NodeLocker, UploadLockedError } from '../../src/locks/upload-locker.ts';

/** A place in which nodes compete for uploads. */
export interface LockerWorld {
  /** A further node; the same one again where there can be only one. Closed after the test. */
  openNode(): Promise<NodeLocker>;
  /** Resolves when so many requests wait, the one that each node sends to the others and those behind it. */
  untilWaiting(uploadId: string, count: number): Promise<void>;
}

export type OpenLockerWorld = (t: TestContext, options: { waitMs: number }) => Promise<LockerWorld>;

const LONG_WAIT_MS = 60_000;

export function testUploadLocker(name: string, open: OpenLockerWorld): void {
  const openNodes = async (t: TestContext, count: number, waitMs = LONG_WAIT_MS) => {
    const world = await open(t, { waitMs });
    const nodes: NodeLocker[] = [];
    for (let index = 0; index < count; index += 1) nodes.push(await world.openNode());
    return { world, nodes };
  };

  test(`${name}: never two at once, whoever comes, goes and gives up`, async (t) => {
    const { nodes } = await openNodes(t, 3);
    const uploads = ['one', 'two'];
    const inside = new Map<string, number>();
    let turns = 0;
    const request = async (index: number): Promise<void> => {
      const uploadId = uploads[index % uploads.length] as string;
      const impatient = index % 5 === 4;
      const signal = impatient ? AbortSignal.timeout(1 + index) : new AbortController().signal;
      try {
        const release = await pick(nodes, index).acquire({ uploadId, signal });
        assert.equal(inside.get(uploadId) ?? 0, 0, `two hold ${uploadId}`);
        inside.set(uploadId, 1);
        turns += 1;
        await sleep(index % 3);
        inside.set(uploadId, 0);
        await release();
      } catch (error) {
        assert.ok(impatient && (error as Error).name === 'TimeoutError', String(error));
      }
    };
    await Promise.all(Array.from({ length: 60 }, (_, index) => request(index)));
    assert.ok(turns >= 48, `all but the impatient had their turn: ${turns}`);
  });

  test(`${name}: those who wait get their turn in the order in which they came`, async (t) => {
    const { world, nodes } = await openNodes(t, 4);
    const uploadId = 'in-order';
    const release = await pick(nodes, 0).acquire({ uploadId });
    const order: number[] = [];
    const others: Promise<void>[] = [];
    for (const place of [1, 2, 3]) {
      others.push(
        pick(nodes, place)
          .acquire({ uploadId })
          .then(async (done) => {
            order.push(place);
            await done();
          }),
      );
      await world.untilWaiting(uploadId, place);
    }
    assert.deepEqual(order, []);
    await release();
    await Promise.all(others);
    assert.deepEqual(order, [1, 2, 3]);
  });

  test(`${name}: the holder is asked to let go, once, however many wait`, async (t) => {
    const { world, nodes } = await openNodes(t, 3);
    const uploadId = 'asked';
    const asked = Promise.withResolvers<void>();
    let times = 0;
    const onReleaseRequested = () => {
      times += 1;
      asked.resolve();
    };
    const release = await pick(nodes, 0).acquire({ uploadId, onReleaseRequested });
    const others = [1, 2].map((index) => pick(nodes, index).acquire({ uploadId }));
    await world.untilWaiting(uploadId, 2);
    await asked.promise;
    await release();
    await releaseAll(others);
    assert.equal(times, 1);
  });

  test(`${name}: a patient one waits without the holder being asked, which is asked as soon as another one comes`, async (t) => {
    const { world, nodes } = await openNodes(t, 3);
    const uploadId = 'patient';
    const asked = Promise.withResolvers<void>();
    let impatient = false;
    let askedEarly = false;
    const onReleaseRequested = () => {
      askedEarly ||= !impatient;
      asked.resolve();
    };
    const release = await pick(nodes, 0).acquire({ uploadId, onReleaseRequested });
    const patient = [0, 1].map((index) => pick(nodes, index).acquire({ uploadId, patient: true }));
    await world.untilWaiting(uploadId, 1);
    impatient = true;
    const other = pick(nodes, 2).acquire({ uploadId });
    await asked.promise;
    assert.equal(askedEarly, false);
    await release();
    await releaseAll([...patient, other]);
  });

  test(`${name}: who waits is asked to let go only when it has the lock, and others wait behind it`, async (t) => {
    const { world, nodes } = await openNodes(t, 3);
    const uploadId = 'asked-later';
    const release = await pick(nodes, 0).acquire({ uploadId });
    const asked = Promise.withResolvers<void>();
    let granted = false;
    let askedEarly = false;
    const onReleaseRequested = () => {
      askedEarly ||= !granted;
      asked.resolve();
    };
    const second = pick(nodes, 1)
      .acquire({ uploadId, onReleaseRequested })
      .then((done) => {
        granted = true;
        return done;
      });
    await world.untilWaiting(uploadId, 1);
    // Behind it on its own node, and on another.
    const third = pick(nodes, 1).acquire({ uploadId });
    const fourth = pick(nodes, 2).acquire({ uploadId });
    await world.untilWaiting(uploadId, 2);
    await release();
    const releaseSecond = await second;
    await asked.promise;
    assert.equal(askedEarly, false);
    await releaseSecond();
    // Which of the two comes first is the locker's business.
    await releaseAll([third, fourth]);
  });

  test(`${name}: a holder that lets go when asked hands over within two seconds`, async (t) => {
    const { nodes } = await openNodes(t, 2);
    const uploadId = 'half-open';
    const holder: { release?: () => Promise<void> } = {};
    holder.release = await pick(nodes, 0).acquire({ uploadId, onReleaseRequested: () => void holder.release?.() });
    const startedAt = performance.now();
    await (await pick(nodes, 1).acquire({ uploadId }))();
    assert.ok(performance.now() - startedAt < 2_000);
  });

  test(`${name}: a wait that runs out is a 423 and gives its place up`, async (t) => {
    const { nodes } = await openNodes(t, 2, 50);
    const uploadId = 'too-long';
    const release = await pick(nodes, 0).acquire({ uploadId });
    const waiter = pick(nodes, 1);
    await assert.rejects(waiter.acquire({ uploadId }), (error) => {
      assert.ok(error instanceof UploadLockedError);
      assert.equal(error.status, 423);
      assert.equal(error.code, 'upload_locked');
      return true;
    });
    assert.equal(waiter.counters.timeouts, 1);
    assert.equal(waiter.counters.waits, 1);
    assert.ok(waiter.counters.waitMs > 0);
    await release();
    await (await pick(nodes, 0).acquire({ uploadId }))();
  });

  test(`${name}: a client that goes while it waits gives its place up`, async (t) => {
    const { world, nodes } = await openNodes(t, 3);
    const uploadId = 'gone';
    const release = await pick(nodes, 0).acquire({ uploadId });
    const gone = new AbortController();
    const waiting = pick(nodes, 1).acquire({ uploadId, signal: gone.signal });
    await world.untilWaiting(uploadId, 1);
    const next = pick(nodes, 2).acquire({ uploadId });
    await world.untilWaiting(uploadId, 2);
    gone.abort(new Error('the client is gone'));
    await assert.rejects(waiting, /the client is gone/);
    await release();
    await (await next)();
    await assert.rejects(pick(nodes, 1).acquire({ uploadId, signal: gone.signal }), /the client is gone/);
    await (await pick(nodes, 0).acquire({ uploadId }))();
  });

  test(`${name}: releasing twice does not release the next holder`, async (t) => {
    const { world, nodes } = await openNodes(t, 3);
    const uploadId = 'twice';
    const release = await pick(nodes, 0).acquire({ uploadId });
    const second = pick(nodes, 1).acquire({ uploadId });
    await world.untilWaiting(uploadId, 1);
    await release();
    const releaseSecond = await second;
    await release();
    let thirdHolds = false;
    const third = pick(nodes, 2)
      .acquire({ uploadId })
      .then((done) => {
        thirdHolds = true;
        return done;
      });
    await world.untilWaiting(uploadId, 1);
    assert.equal(thirdHolds, false);
    await releaseSecond();
    await (await third)();
  });

  test(`${name}: uploads do not wait for each other`, async (t) => {
    const { nodes } = await openNodes(t, 2);
    const one = await pick(nodes, 0).acquire({ uploadId: 'one' });
    const two = await pick(nodes, 1).acquire({ uploadId: 'two' });
    await one();
    await two();
    assert.equal(pick(nodes, 0).counters.waits, 0);
    assert.equal(pick(nodes, 0).degraded, false);
  });
}

function pick(nodes: NodeLocker[], index: number): NodeLocker {
  return nodes[index % nodes.length] as NodeLocker;
}

async function releaseAll(locks: Promise<() => Promise<void>>[]): Promise<void> {
  await Promise.all(locks.map(async (lock) => (await lock)()));
}
