import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  choosePartBytes,
  fitsOnePart,
  MAX_PART_BYTES,
  tailBytes,
  UploadTooLargeError,
  wholeParts,
} from '../../src/relay/part-plan.ts';

const MIB = 1024 * 1024;

test('the operator’s part size is kept while the upload fits into the parts that the storage allows', () => {
  assert.equal(choosePartBytes(10_000 * 8 * MIB, 8 * MIB, 10_000), 8 * MIB);
});

test('one byte more takes the next whole MiB that fits', () => {
  assert.equal(choosePartBytes(10_000 * 8 * MIB + 1, 8 * MIB, 10_000), 9 * MIB);
});

test('a storage of 1,000 parts gets larger parts', () => {
  assert.equal(choosePartBytes(1024 * 1024 * MIB, 8 * MIB, 1_000), 1049 * MIB);
});

test('a deferred length keeps the wish: there is nothing to compute from', () => {
  assert.equal(choosePartBytes(null, 8 * MIB, 10_000), 8 * MIB);
});

test('what does not fit even in the largest parts is refused', () => {
  assert.throws(() => choosePartBytes(MAX_PART_BYTES * 10 + 1, 8 * MIB, 10), UploadTooLargeError);
});

test('every known length fits, in whole MiB, without ever going below the wish', () => {
  const lengths = fc.integer({ min: 0, max: 5 * 1024 * 1024 * MIB });
  fc.assert(
    fc.property(lengths, fc.integer({ min: 5, max: 512 }), fc.constantFrom(1_000, 10_000), (length, wishMib, max) => {
      fc.pre(length <= MAX_PART_BYTES * max);
      const partBytes = choosePartBytes(length, wishMib * MIB, max);
      assert.ok(partBytes >= wishMib * MIB && partBytes <= Math.max(MAX_PART_BYTES, wishMib * MIB));
      assert.equal(partBytes % MIB, 0);
      assert.ok(Math.ceil(length / partBytes) <= max);
    }),
  );
});

test('whole parts and tail give the offset back', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 45 }), fc.integer({ min: 1, max: 2 ** 32 }), (offset, partBytes) => {
      const tail = tailBytes(offset, partBytes);
      assert.equal(wholeParts(offset, partBytes) * partBytes + tail, offset);
      assert.ok(tail >= 0 && tail < partBytes);
    }),
  );
});

test('a single object only for a known length of at most one part', () => {
  assert.equal(fitsOnePart(8 * MIB, 8 * MIB), true);
  assert.equal(fitsOnePart(8 * MIB + 1, 8 * MIB), false);
  assert.equal(fitsOnePart(null, 8 * MIB), false);
});
