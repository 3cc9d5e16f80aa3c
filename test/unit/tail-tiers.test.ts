import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { countToMerge, TAIL_TIERS, type TailTiers } from '../../src/relay/tail-tiers.ts';

const MIB = 1024 * 1024;
/** What an upload of 5 TiB needs with 10,000 parts. */
const LARGE_PART_BYTES = 525 * MIB;

/** What is stored of one part, request after request. */
class Tail {
  segments: number[] = [];
  /** Written again, in all. */
  rewrittenBytes = 0;
  /** By a single request: bytes that it reads and writes again, and segments that it reads. */
  mostBytes = 0;
  mostReads = 0;
  mostSegments = 0;
  reads = 0;
  readonly #partBytes: number;
  readonly #tiers: TailTiers;

  constructor(partBytes: number, tiers: TailTiers, segments: number[] = []) {
    this.#partBytes = partBytes;
    this.#tiers = tiers;
    this.segments = [...segments];
  }

  /** @returns bytes of the segments that it has merged */
  add(bytes: number): number[] {
    const count = countToMerge(this.segments, bytes, this.#partBytes, this.#tiers);
    assert.ok(count >= 0 && count <= this.segments.length);
    const taken = this.segments.splice(this.segments.length - count);
    const takenBytes = sum(taken);
    this.segments.push(takenBytes + bytes);
    this.rewrittenBytes += takenBytes;
    this.reads += count;
    this.mostBytes = Math.max(this.mostBytes, takenBytes);
    this.mostReads = Math.max(this.mostReads, count);
    this.mostSegments = Math.max(this.mostSegments, this.segments.length);
    return taken;
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function tiersBelow(bytes: number, fanOut: number): number {
  let tiers = 0;
  for (let from = 1; from < bytes; from *= fanOut) tiers += 1;
  return tiers;
}

test('eight requests of one size become a segment of the next size', () => {
  const tail = new Tail(8 * MIB, TAIL_TIERS);
  const lists: number[][] = [];
  for (let count = 0; count < 70; count += 1) {
    tail.add(1_000);
    lists.push([...tail.segments]);
  }
  assert.deepEqual(lists[6], Array(7).fill(1_000));
  assert.deepEqual(lists[7], [8_000]);
  assert.deepEqual(lists[15], [8_000, 8_000]);
  assert.deepEqual(lists[63], [64_000]);
  assert.deepEqual(lists[69], [64_000, ...Array(6).fill(1_000)]);
});

test('a large request takes up the small ones before it, a small one leaves the large ones alone', () => {
  const tail = new Tail(8 * MIB, TAIL_TIERS);
  assert.deepEqual(tail.add(100), []);
  assert.deepEqual(tail.add(20), []);
  assert.deepEqual(tail.add(50_000), [100, 20]);
  assert.deepEqual(tail.add(1), []);
  assert.deepEqual(tail.segments, [50_120, 1]);
  assert.deepEqual(tail.add(3 * MIB), [50_120, 1], 'now it is settled');
  assert.deepEqual(tail.add(1), []);
  assert.deepEqual(tail.add(3 * MIB), [1]);
});

test('twenty thousand requests of 500 bytes within one part write each byte a few times, and leave few segments', () => {
  for (const partBytes of [10 * MIB, 64 * MIB, LARGE_PART_BYTES]) {
    const tail = new Tail(partBytes, TAIL_TIERS);
    for (let count = 0; count < 20_000; count += 1) tail.add(500);
    const settledBytes = Math.ceil(partBytes / 64);
    const tiers = tiersBelow(settledBytes, 8) - tiersBelow(500, 8) + 1;
    assert.ok(tail.rewrittenBytes <= 20_000 * 500 * (tiers + 1), `${tail.rewrittenBytes} bytes for ${partBytes}`);
    assert.ok(tail.reads < 20_000, `${tail.reads} segments were read`);
    assert.ok(tail.mostBytes < settledBytes);
    assert.ok(tail.mostSegments <= 64 + 7 * tiers, `${tail.mostSegments} segments`);
  }
});

test('one byte at a time near the end of a part of 525 MiB, nothing near the part is read or written', () => {
  const settled = Array(63).fill(LARGE_PART_BYTES / 64);
  const tail = new Tail(LARGE_PART_BYTES, TAIL_TIERS, settled);
  for (let count = 0; count < 100_000; count += 1) tail.add(1);
  assert.deepEqual(tail.segments.slice(0, 63), settled);
  assert.ok(tail.mostBytes < 100_000);
  assert.ok(tail.rewrittenBytes < 7 * 100_000, `${tail.rewrittenBytes} bytes`);
});

const tiers = fc.record({
  fanOut: fc.integer({ min: 2, max: 9 }),
  settledPerPart: fc.integer({ min: 1, max: 70 }),
});
const size = fc.oneof(
  fc.integer({ min: 1, max: 20 }),
  fc.integer({ min: 1, max: 3_000 }),
  fc.integer({ min: 1, max: 400_000 }),
);

test('whatever the sizes: no byte is written more often than there are tiers, and no request pays for many', () => {
  fc.assert(
    fc.property(tiers, fc.integer({ min: 1, max: 2 * MIB }), fc.array(size, { maxLength: 400 }), (it, part, sizes) => {
      const tail = new Tail(part, it);
      const settledBytes = Math.ceil(part / it.settledPerPart);
      const tierCount = tiersBelow(settledBytes, it.fanOut);
      /** Of each segment: how often its most written byte was written again. */
      let rewrites: number[] = [];
      for (const bytes of sizes) {
        if (sum(tail.segments) + bytes >= part) break;
        const taken = tail.add(bytes);
        const before = rewrites.splice(rewrites.length - taken.length);
        rewrites = [...rewrites, Math.max(0, ...before.map((count) => count + 1))];
        assert.ok(Math.max(...rewrites) <= tierCount, `${rewrites} rewrites, ${tierCount} tiers`);
        assert.ok(taken.every((old) => old < settledBytes));
        assert.ok(sum(taken) < settledBytes);
        assert.ok(tail.segments.length <= it.settledPerPart + (it.fanOut - 1) * tierCount);
      }
      assert.ok(tail.reads <= sizes.length, 'each segment is read once at most');
    }),
    { numRuns: 500 },
  );
});

test('a tail that was made by another rule is taken as it is, and becomes short', () => {
  fc.assert(
    fc.property(tiers, fc.array(size, { maxLength: 300 }), fc.array(size, { maxLength: 50 }), (it, tail, sizes) => {
      const part = sum(tail) + sum(sizes) + 1;
      const after = new Tail(part, it, tail);
      for (const bytes of sizes) after.add(bytes);
      const settledBytes = Math.ceil(part / it.settledPerPart);
      assert.equal(sum(after.segments), sum(tail) + sum(sizes));
      assert.ok(after.mostBytes < 2 * settledBytes);
    }),
  );
  const tiny = new Tail(8 * MIB, TAIL_TIERS, Array(64).fill(500));
  tiny.add(500);
  assert.deepEqual(tiny.segments, [65 * 500]);
});
