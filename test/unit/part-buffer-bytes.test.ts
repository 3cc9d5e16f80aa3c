import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { type HeldPayload, joinPayloads } from '../../src/relay/held-payload.ts';
import { MemoryBudget } from '../../src/relay/memory-budget.ts';
import { BufferClosedError, PartBuffer } from '../../src/relay/part-buffer.ts';
import { SpillStore } from '../../src/relay/spill-store.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

function openBudget(): MemoryBudget {
  const noDisk = async () => {
    throw new Error('no disk here');
  };
  const store = new SpillStore(noDisk, { capBytes: null, now: () => 0, onFailure: () => assert.fail() });
  return new MemoryBudget(64 * MIB, 8 * MIB, store, () => 0);
}

function openPart(budget = openBudget()): PartBuffer {
  return new PartBuffer(budget, 8 * MIB, () => assert.fail());
}

function chunksOf(buffer: PartBuffer): Uint8Array[] {
  return [...(buffer.read() as Iterable<Uint8Array>)];
}

test('the bytes come out in the order in which they came in, whatever the chunk sizes, as often as asked', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 30 }), (sizes) => {
      const chunks = sizes.map((size, i) => Buffer.alloc(size, i + 1));
      const budget = openBudget();
      const buffer = openPart(budget);
      for (const chunk of chunks) assert.equal(buffer.append(chunk), true);
      const expected = Buffer.concat(chunks);
      buffer.seal();
      assert.equal(buffer.bytes, expected.length);
      assert.ok(Buffer.concat(chunksOf(buffer)).equals(expected));
      assert.ok(Buffer.concat(chunksOf(buffer)).equals(expected));
      assert.ok(Buffer.from(buffer.head(100) as Uint8Array).equals(expected.subarray(0, 100)));
      buffer.release();
      assert.equal(budget.figures.usedBytes, 0);
    }),
    { numRuns: 100 },
  );
});

test('chunks are copied: the caller may use its memory again', () => {
  for (const chunk of [Buffer.from('abc'), Buffer.alloc(64 * KIB, 'x'), Buffer.alloc(200 * KIB, 'y')]) {
    const buffer = openPart();
    const before = Buffer.from(chunk);
    assert.equal(buffer.append(chunk), true);
    chunk.fill(0);
    buffer.seal();
    assert.ok(Buffer.concat(chunksOf(buffer)).equals(before));
  }
});

test('a slow client holds little more than it has sent, a fast one whole blocks', () => {
  const held = (chunkBytes: number, count: number) => {
    const buffer = openPart();
    for (let i = 0; i < count; i++) buffer.append(Buffer.alloc(chunkBytes));
    return buffer.heldBytes;
  };
  assert.equal(held(1, 1), KIB);
  assert.equal(held(1, 3 * KIB), 3 * KIB);
  assert.equal(held(20 * KIB, 1), 20 * KIB);
  assert.equal(held(40 * KIB, 1), 64 * KIB);
  assert.equal(held(64 * KIB, 10), 640 * KIB);
  assert.equal(held(200 * KIB, 1), 200 * KIB);
});

test('blocks are used again, but never while anybody can still read them', () => {
  const budget = openBudget();
  const fill = (text: string) => {
    const buffer = openPart(budget);
    for (let i = 0; i < 20; i++) assert.equal(buffer.append(Buffer.alloc(16 * KIB, text)), true);
    buffer.seal();
    return buffer;
  };
  const [first, second] = [fill('a'), fill('b')];
  const blocksOf = (buffer: PartBuffer) => new Set(chunksOf(buffer).map((chunk) => chunk.buffer));
  const shared = (some: Set<unknown>, others: Set<unknown>) => [...some].filter((block) => others.has(block)).length;
  assert.equal(shared(blocksOf(first), blocksOf(second)), 0);
  const freed = blocksOf(first);
  first.release();
  assert.equal(budget.figures.usedBytes, second.heldBytes);
  const third = fill('c');
  assert.ok(shared(blocksOf(third), freed) > 0);
  assert.ok(Buffer.concat(chunksOf(second)).equals(Buffer.alloc(320 * KIB, 'b')));
  assert.ok(Buffer.concat(chunksOf(third)).equals(Buffer.alloc(320 * KIB, 'c')));
  second.release();
  third.release();
  assert.equal(budget.figures.usedBytes, 0);
});

test('free blocks give way to what needs their memory', async () => {
  const budget = openBudget();
  const filled = openPart(budget);
  for (let i = 0; i < 500; i++) filled.append(Buffer.alloc(16 * KIB));
  filled.release();
  const others = Array.from({ length: 6 }, () => openPart(budget));
  for (const other of others) {
    for (let i = 0; i < 128; i++) assert.equal(await other.append(Buffer.allocUnsafeSlow(64 * KIB)), true);
  }
  assert.ok(budget.figures.usedBytes <= budget.capacityBytes);
  for (const other of others) other.release();
  assert.equal(budget.figures.usedBytes, 0);
});

test('the chunks of a request are memory of their own, so that a body reader may free each by itself', async (t) => {
  const chunks: Buffer[] = [];
  const server = createServer((req, res) => {
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => res.end());
  });
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve, reject) => {
    request({ port, host: '127.0.0.1', method: 'PUT', agent: false }, (res) => res.resume().on('end', resolve))
      .on('error', reject)
      .end(Buffer.alloc(MIB));
  });
  assert.ok(chunks.length > 0);
  for (const chunk of chunks) assert.equal(chunk.buffer.byteLength, chunk.length);
});

test('what is sealed takes nothing in, and what is released gives nothing out', () => {
  const budget = openBudget();
  const buffer = openPart(budget);
  buffer.append(Buffer.alloc(10));
  assert.throws(() => buffer.read());
  buffer.seal();
  assert.throws(() => buffer.append(Buffer.alloc(10)), BufferClosedError);
  buffer.release();
  buffer.release();
  assert.throws(() => buffer.read());
  assert.equal(budget.figures.usedBytes, 0);
});

test('a tail in front of what followed it reads as one', () => {
  const budget = openBudget();
  const [tail, rest] = [openPart(budget), openPart(budget)];
  tail.append(Buffer.from('old tail '));
  rest.append(Buffer.from('new'));
  tail.seal();
  rest.seal();
  const joined = joinPayloads([tail, rest]);
  assert.equal(joined.bytes, 12);
  assert.equal(Buffer.concat([...(joined.read() as Iterable<Uint8Array>)]).toString(), 'old tail new');
  assert.equal(Buffer.from(joined.head(11) as Uint8Array).toString(), 'old tail ne');
  assert.equal(Buffer.from(joined.head(3) as Uint8Array).toString(), 'old');
  joined.release();
  assert.equal(budget.figures.usedBytes, 0);
});

test('ten thousand payloads, joined one after the other, read as one and give everything back', async () => {
  const budget = openBudget();
  const inFile = { ...plain('in a file, '), inMemory: false, read: () => Readable.from([Buffer.from('in a file, ')]) };
  let joined = joinPayloads([plain('first, ')]);
  for (let count = 0; count < 10_000; count += 1) joined = joinPayloads([joined, plain('.')]);
  const last = openPart(budget);
  last.append(Buffer.from('last'));
  last.seal();
  joined = joinPayloads([joined, last]);
  const text = `first, ${'.'.repeat(10_000)}last`;
  assert.equal(joined.bytes, text.length);
  assert.equal(Buffer.concat([...(joined.read() as Iterable<Uint8Array>)]).toString(), text);
  assert.equal(Buffer.from(joined.head(9) as Uint8Array).toString(), text.slice(0, 9));
  assert.equal(joined.park(), false, 'what cannot be parked keeps the others in use');
  const mixed = joinPayloads([joined, inFile, plain('end')]);
  assert.equal(mixed.inMemory, false);
  const chunks: Uint8Array[] = [];
  for await (const chunk of mixed.read()) chunks.push(chunk);
  assert.equal(Buffer.concat(chunks).toString(), `${text}in a file, end`);
  assert.equal(Buffer.from(await mixed.head(text.length + 4)).toString(), `${text}in a`);
  mixed.release();
  assert.deepEqual([budget.figures.usedBytes, budget.figures.inFlightBytes], [0, 0]);
});

function plain(text: string): HeldPayload {
  const bytes = Buffer.from(text);
  return {
    ...{ bytes: bytes.length, inMemory: true, read: () => [bytes], head: (count: number) => bytes.subarray(0, count) },
    ...{ park: () => text !== '.', unpark: () => {}, release: () => {} },
  };
}
