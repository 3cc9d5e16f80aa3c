import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { GarbageWatch } from '../../src/observability/garbage-watch.ts';

const MIB = 1024 * 1024;

function buffersMib(): number {
  return process.memoryUsage().arrayBuffers / MIB;
}

/** A watch that was made when there were 10 MiB of buffers, in a process whose figures the test tells. */
function watchFigures(t: TestContext) {
  const figures = { ...process.memoryUsage(), arrayBuffers: 10 * MIB };
  t.mock.method(process, 'memoryUsage', () => figures);
  const collected: (string | undefined)[] = [];
  const watch = new GarbageWatch((options) => collected.push(options?.type));
  return {
    collected,
    check(bufferMib: number, heldMib: number): void {
      figures.arrayBuffers = bufferMib * MIB;
      watch.check(heldMib * MIB);
    },
  };
}

test('up to 64 MiB of garbage lie about; what is held, or was there before, is none', (t) => {
  const { check, collected } = watchFigures(t);
  check(10, 0);
  check(74, 0);
  check(10 + 300 + 64, 300);
  check(10, 300);
  assert.deepEqual(collected, []);
});

test('more than 64 MiB are a matter of the young generation, more than twice that of the whole heap', (t) => {
  const { check, collected } = watchFigures(t);
  check(75, 0);
  check(10 + 300 + 65, 300);
  check(10 + 128, 0);
  assert.deepEqual(collected, ['minor', 'minor', 'minor']);
  check(10 + 129, 0);
  check(10 + 300 + 129, 300);
  assert.deepEqual(collected.slice(3), ['major', 'major']);
});

test('buffers that nobody holds any more are freed, without any memory being asked for', () => {
  const watch = new GarbageWatch();
  const held = Array.from({ length: 100 }, () => Buffer.alloc(2 * MIB));
  watch.check(200 * MIB);
  assert.ok(buffersMib() >= 200, 'those that are in use stay');
  held.length = 0;
  watch.check(0);
  assert.ok(
    becomesTrue(() => buffersMib() < 64),
    `${buffersMib()} MiB`,
  );
});

/** V8 frees what it has found on a thread of its own; this one stands still, since V8 would come round to it by itself. */
function becomesTrue(isSo: () => boolean): boolean {
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  for (let waits = 0; waits < 500 && !isSo(); waits += 1) Atomics.wait(nobody, 0, 0, 10);
  return isSo();
}
