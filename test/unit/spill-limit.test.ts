/** How far spill files may fill their disk. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DiskRoom, roomOn } from '../../src/relay/disk-room.ts';
import { MemoryBudget } from '../../src/relay/memory-budget.ts';
import { PartBuffer } from '../../src/relay/part-buffer.ts';
import { type SpillHandle, SpillLimitError, type SpillSettings, SpillStore } from '../../src/relay/spill-store.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

/** A disk that all files of a test share with others. */
class FakeDisk {
  totalBytes = 100 * GIB;
  /** What others have on it. */
  othersBytes = 0;
  ownBytes = 0;
  looks = 0;

  readonly look = async () => {
    this.looks += 1;
    return { totalBytes: this.totalBytes, freeBytes: this.totalBytes - this.othersBytes - this.ownBytes };
  };

  readonly open = async (): Promise<SpillHandle> => {
    let end = 0;
    return {
      writev: async (chunks, position) => {
        const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
        this.ownBytes += Math.max(0, position + bytes - end);
        end = Math.max(end, position + bytes);
        return { bytesWritten: bytes };
      },
      read: async (_into, _offset, length) => ({ bytesRead: length }),
      close: async () => {
        this.ownBytes -= end;
      },
    };
  };
}

function openStore(disk: FakeDisk, settings: Partial<SpillSettings> = {}) {
  const clock = { nowMs: 0 };
  const failures: unknown[] = [];
  const store = new SpillStore(disk.open, {
    ...{ capBytes: null, lookAtDisk: disk.look, now: () => clock.nowMs },
    onFailure: (error) => failures.push(error),
    ...settings,
  });
  return { store, clock, failures };
}

test('a tenth of the disk stays free, and 1 GiB at least', () => {
  assert.equal(roomOn({ totalBytes: 100 * GIB, freeBytes: 30 * GIB }), 20 * GIB);
  assert.equal(roomOn({ totalBytes: 5 * GIB, freeBytes: 3 * GIB }), 2 * GIB);
  assert.equal(roomOn({ totalBytes: 100 * GIB, freeBytes: 9 * GIB }), 0);
  assert.equal(roomOn({ totalBytes: 200 * MIB, freeBytes: 200 * MIB }), 0);
});

test('files grow until only that is free, as if the disk were full then; a file that is closed makes room', async () => {
  const disk = new FakeDisk();
  disk.othersBytes = 88 * GIB;
  const { store, clock } = openStore(disk);
  const files = [await store.create(1), await store.create(1)];
  let position = 0;
  const one = Buffer.alloc(0);
  // The fake counts lengths only, so a write of a GiB costs nothing.
  const gib = { length: GIB / 2 } as Uint8Array;
  for (; position < GIB; position += GIB / 2) for (const file of files) await file.write([gib], GIB / 2, position);
  assert.equal(disk.ownBytes, 2 * GIB);
  await assert.rejects(files[0]?.write([gib], GIB / 2, position) ?? Promise.resolve(), SpillLimitError);
  await files[0]?.write([one], 0, 0);
  assert.equal(store.limitBytes, 2 * GIB);
  files[1]?.close();
  await store.settled();
  clock.nowMs += 1_000;
  await files[0]?.write([gib], GIB / 2, position);
  assert.equal(store.bytes, 1.5 * GIB);
});

test('what others write counts: the disk is looked at again after a second, and whenever much was written', async () => {
  const disk = new FakeDisk();
  const clock = { nowMs: 0 };
  const room = new DiskRoom(disk.look, () => clock.nowMs);
  assert.equal(await room.reserve(MIB), true);
  assert.equal(await room.reserve(MIB), true);
  assert.equal(disk.looks, 1, 'not at every write');
  disk.othersBytes = 95 * GIB;
  clock.nowMs += 1_000;
  assert.equal(await room.reserve(MIB), false);
  disk.othersBytes = 89 * GIB;
  assert.equal(await room.reserve(MIB), true);
  const { looks } = disk;
  for (let i = 0; i < 64; i += 1) assert.equal(await room.reserve(2 * MIB), true);
  assert.ok(disk.looks > looks, 'other workers may have written as much');
});

test('what is on its way to the disk counts, though the file system does not show it yet', async () => {
  const disk = new FakeDisk();
  disk.othersBytes = 90 * GIB - 10 * MIB;
  const room = new DiskRoom(disk.look, () => 0);
  const tries = await Promise.all(Array.from({ length: 20 }, () => room.reserve(MIB)));
  assert.equal(tries.filter((it) => it).length, 10);
});

test('SPILL_BYTES is a limit of its own, whatever the disk has free, and reaching it is no failure', async () => {
  const disk = new FakeDisk();
  const { store, failures } = openStore(disk, { capBytes: 3 * MIB });
  const budget = new MemoryBudget(4 * MIB, MIB, store, () => 0);
  let flushes = 0;
  const upload = async () => {
    const open = () => new PartBuffer(budget, 2 * MIB, () => {});
    let buffer = open();
    for (let i = 0; i < 24; i += 1) {
      while (!(await buffer.append(Buffer.alloc(64 * KIB)))) {
        flushes += 1;
        buffer.release();
        buffer = open();
      }
    }
    buffer.release();
  };
  await Promise.all(Array.from({ length: 8 }, upload));
  assert.ok(flushes > 0, 'they went on by way of flushes');
  assert.equal(disk.looks, 0);
  assert.ok(store.bytes <= 3 * MIB);
  assert.ok(store.refusals > 0);
  assert.equal(store.failures, 0);
  assert.ok(failures.every((it) => it instanceof SpillLimitError) && failures.length > 0);
  assert.equal(store.limitBytes, 3 * MIB);
  await store.settled();
  assert.equal(store.bytes, 0);
});

test('a quarter of what the files may have is kept for the beginnings of bodies', async () => {
  const bytes = { length: MIB } as Uint8Array;
  const [capped, disk] = [openStore(new FakeDisk(), { capBytes: 8 * MIB }).store, new FakeDisk()];
  disk.othersBytes = 90 * GIB - 8 * MIB;
  for (const store of [capped, openStore(disk).store]) {
    const [part, beginnings] = [await store.create(), await store.create(1)];
    for (let i = 0; i < 6; i += 1) await part.write([bytes], MIB, i * MIB);
    await assert.rejects(part.write([bytes], MIB, 6 * MIB), SpillLimitError);
    for (let i = 0; i < 2; i += 1) await beginnings.write([bytes], MIB, i * MIB);
    await assert.rejects(beginnings.write([bytes], MIB, 2 * MIB), SpillLimitError);
  }
});
