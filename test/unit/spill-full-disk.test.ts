import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { MemoryBudget } from '../../src/relay/memory-budget.ts';
import { PartBuffer } from '../../src/relay/part-buffer.ts';
import { openSpillStore } from '../../src/relay/spill-store.ts';

const MIB = 1024 * 1024;
const run = promisify(execFile);

/** @returns a file system of its own of this size, or null where we may not mount one */
async function mountSmallDisk(t: TestContext, bytes: number): Promise<string | null> {
  const dir = await mkdtemp(join(tmpdir(), 'small-disk-'));
  let mounted = true;
  t.after(async () => {
    if (mounted) await run('umount', ['-l', dir]);
    await rm(dir, { recursive: true });
  });
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', dir]);
  } catch {
    mounted = false;
    return null;
  }
  return dir;
}

test('on a disk that is really full the uploads go on by way of flushes, and the disk is empty after them', async (t) => {
  const dir = await mountSmallDisk(t, 2 * MIB);
  if (dir === null) return t.skip('no file system can be mounted here');
  const codes = new Set<unknown>();
  let nowMs = 0;
  const now = () => (nowMs += 1);
  const onFailure = (error: unknown) => codes.add((error as NodeJS.ErrnoException).code);
  const spillStore = await openSpillStore(dir, { capBytes: null, now, onFailure });
  const budget = new MemoryBudget(4 * MIB, MIB, spillStore, now);
  let flushes = 0;
  const upload = async (value: number) => {
    const stored: Buffer[] = [];
    let wake = () => {};
    const open = () => new PartBuffer(budget, MIB, () => wake());
    let buffer = open();
    const store = async () => {
      buffer.seal();
      for await (const chunk of buffer.read()) stored.push(Buffer.from(chunk));
      buffer.release();
      buffer = open();
    };
    for (let i = 0; i < 15; i++) {
      if (await buffer.append(Buffer.allocUnsafeSlow(64 * 1024).fill(value))) continue;
      flushes += 1;
      await store();
      assert.equal(await buffer.append(Buffer.allocUnsafeSlow(64 * 1024).fill(value)), true);
    }
    // Stays idle with what it holds, until somebody needs the memory or everybody is done.
    busy -= 1;
    if (busy === 0) for (const end of idle) end();
    else if (!buffer.flushWanted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      idle.push(resolve);
      await promise;
    }
    await store();
    buffer.release();
    assert.ok(Buffer.concat(stored).equals(Buffer.alloc(15 * 64 * 1024, value)));
  };
  const idle: (() => void)[] = [];
  const values = Array.from({ length: 12 }, (_, i) => i + 1);
  let busy = values.length;
  await Promise.all(values.map(upload));
  await spillStore.settled();
  assert.ok(codes.has('ENOSPC'), `failures: ${[...codes].join()}`);
  assert.ok(budget.figures.spilledTotalBytes > 0);
  assert.ok(flushes + budget.figures.flushesTotal > 0);
  assert.equal(budget.figures.usedBytes, 0);
  assert.equal(spillStore.bytes, 0);
  const { bfree, blocks } = await statfs(dir);
  assert.equal(bfree, blocks);
  assert.deepEqual(await readdir(dir), []);
});
