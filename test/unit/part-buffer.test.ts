import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PartBuffer } from '../../src/relay/part-buffer.ts';

test('the bytes come out in the order in which they came in, whatever the chunk sizes, as often as asked', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 30 }), (sizes) => {
      const chunks = sizes.map((size, i) => Buffer.alloc(size, i + 1));
      const buffer = new PartBuffer();
      for (const chunk of chunks) buffer.append(chunk);
      const expected = Buffer.concat(chunks);
      assert.equal(buffer.bytes, expected.length);
      assert.ok(Buffer.concat(buffer.read()).equals(expected));
      assert.ok(Buffer.concat(buffer.read()).equals(expected));
      assert.ok(Buffer.from(buffer.head(100)).equals(expected.subarray(0, 100)));
    }),
    { numRuns: 50 },
  );
});

test('small chunks are copied: the caller may use its memory again', () => {
  const buffer = new PartBuffer();
  const chunk = Buffer.from('abc');
  buffer.append(chunk);
  chunk.fill(0);
  assert.equal(Buffer.concat(buffer.read()).toString(), 'abc');
});

test('a stored tail goes in front', () => {
  const buffer = new PartBuffer();
  buffer.append(Buffer.from('new'));
  buffer.prepend([Buffer.from('old '), Buffer.from('tail ')]);
  assert.equal(Buffer.concat(buffer.read()).toString(), 'old tail new');
  assert.equal(buffer.bytes, 12);
});
