import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { MemoryTables } from '../support/memory-database.ts';
import {
  bodyOf,
  patternBytes,
  startFastRelay,
  startNode,
  startTestRelay,
  type TestNode,
} from '../support/test-relay.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const TINY_BYTES = 500;

async function create(node: TestNode, lengthBytes: number): Promise<string> {
  const { upload } = await node.relay.create({ owner: 'public', lengthBytes, metadata: null, body: null });
  return upload.uploadId;
}

/** What it has made unnecessary is out of the bucket, too, when this comes back. */
async function patch(node: TestNode, uploadId: string, offset: number, bytes: Uint8Array) {
  const request = { uploadId, offsetBytes: offset, declaredLengthBytes: null, body: bodyOf(bytes) };
  const { upload } = await node.relay.append(request);
  await node.discards.idle();
  assert.equal(upload.offsetBytes, offset + bytes.length);
  return upload;
}

async function tailBytesOf(node: TestNode, uploadId: string): Promise<number[]> {
  return (await node.catalog.findTail(uploadId)).map((segment) => segment.bytes);
}

/** Of one request, or of a thousand. */
interface Cost {
  puts: number;
  gets: number;
  others: number;
  /** Bytes sent to S3. */
  putBytes: number;
  /** Rows of the tail and of the discards that came or went. */
  rows: number;
  /** Rows of the tail that were there afterwards. */
  segments: number;
}

/** Sends the requests one after the other. @returns what each one cost */
async function costsOf(
  relay: ReturnType<typeof startFastRelay>,
  nodeFor: (count: number) => TestNode,
  uploadId: string,
  bodies: readonly Uint8Array[],
): Promise<Cost[]> {
  let rows = 0;
  relay.database.server.onCommitted = (_label, before, after) => {
    rows += changedRows(before, after, uploadId);
  };
  const costs: Cost[] = [];
  let offset = (await relay.catalog.find(uploadId))?.offsetBytes ?? 0;
  for (const [count, body] of bodies.entries()) {
    rows = 0;
    relay.storage.forget();
    await patch(nodeFor(count), uploadId, offset, body);
    offset += body.length;
    const { PutObject: puts = 0, GetObject: gets = 0 } = relay.storage.counts();
    const { calls } = relay.storage;
    const putBytes = calls.reduce((sum, call) => sum + (call.operation === 'PutObject' ? (call.bytes ?? 0) : 0), 0);
    const segments = relay.database.server.tables.tails.get(uploadId)?.length ?? 0;
    costs.push({ puts, gets, others: calls.length - puts - gets, putBytes, rows, segments });
  }
  return costs;
}

function changedRows(before: MemoryTables, after: MemoryTables, uploadId: string): number {
  const sequences = (tables: MemoryTables) => (tables.tails.get(uploadId) ?? []).map((segment) => segment.sequence);
  const tails = countOfUnshared(sequences(before), sequences(after));
  return tails + countOfUnshared([...before.discards.keys()], [...after.discards.keys()]);
}

function countOfUnshared(some: readonly number[], others: readonly number[]): number {
  const all = new Set([...some, ...others]).size;
  return 2 * all - some.length - others.length;
}

function sumOf(costs: readonly Cost[], of: keyof Cost): number {
  return costs.reduce((sum, cost) => sum + cost[of], 0);
}

for (const [who, isFresh] of [
  ['to the node that remembers the tail', false],
  ['each to a node that does not remember the tail', true],
] as const) {
  test(`20,000 requests of 500 bytes within one part, ${who}: the last thousand costs what the second did`, async () => {
    const relay = startFastRelay({ partBytes: 16 * MIB });
    const content = patternBytes(20_000 * TINY_BYTES + 1);
    const uploadId = await create(relay, content.length);
    const bodies = Array.from({ length: 20_000 }, (_, i) => content.subarray(i * TINY_BYTES, (i + 1) * TINY_BYTES));
    const costs = await costsOf(relay, () => (isFresh ? relay.startOther() : relay), uploadId, bodies);
    assert.ok(costs.every(({ puts }) => puts === 1));
    // Segments of 256 KiB stay as they are; between them and 500 bytes there are three sizes.
    assert.ok(costs.every(({ putBytes }) => putBytes < 256 * KIB + TINY_BYTES));
    assert.ok(costs.every(({ segments }) => segments <= 64 + 4 * 7));
    assert.ok(costs.every(({ gets }) => gets <= (isFresh ? 4 * 7 : 0)));
    for (let from = 0; from < 20_000; from += 1_000) {
      const thousand = costs.slice(from, from + 1_000);
      const name = `from request ${from}: ${sumOf(thousand, 'putBytes')} bytes, ${sumOf(thousand, 'rows')} rows`;
      assert.ok(sumOf(thousand, 'putBytes') <= 5 * 1_000 * TINY_BYTES, name);
      // Each segment comes and goes once, and so does its discard; 28 may be left of those before.
      assert.ok(sumOf(thousand, 'rows') <= 4 * (1_000 + 28), name);
      assert.ok(sumOf(thousand, 'gets') <= 1_000 + 28, name);
      assert.ok(sumOf(thousand, 'others') <= 1_000 / 7, name);
    }
    const finished = await patch(relay, uploadId, content.length - 1, content.subarray(-1));
    assert.ok(relay.storage.bytesOf(finished.objectKey)?.equals(content));
    assert.deepEqual([...relay.storage.objects.keys()], [finished.objectKey]);
    assert.deepEqual(relay.failures, []);
  });
}

test('one byte at a time behind many megabytes of a part: none of them is read or written again', async () => {
  const relay = startFastRelay({ partBytes: 64 * MIB });
  const content = patternBytes(63 * MIB + 200);
  const uploadId = await create(relay, 100 * MIB);
  for (let offset = 0; offset < 63 * MIB; offset += MIB) {
    await patch(relay, uploadId, offset, content.subarray(offset, offset + MIB));
  }
  const bodies = Array.from({ length: 200 }, (_, i) => content.subarray(63 * MIB + i, 63 * MIB + i + 1));
  const costs = await costsOf(relay, () => relay.startOther(), uploadId, bodies);
  // There used to be one in 64 that read and wrote all of it.
  assert.equal(Math.max(...costs.map(({ putBytes }) => putBytes)), 64);
  assert.equal(sumOf(costs, 'putBytes'), 200 + 25 * 7 + 3 * 56);
});

test('what a tail of any sizes becomes, on any node, is the file', async () => {
  const schedule = fc.record({
    partBytes: fc.constantFrom(500, 3_000),
    tailTiers: fc.record({ fanOut: fc.integer({ min: 2, max: 4 }), settledPerPart: fc.constantFrom(1, 3, 8) }),
    requests: fc.array(fc.record({ node: fc.nat(2), bytes: fc.integer({ min: 1, max: 90 }) }), {
      ...{ minLength: 1, maxLength: 80, size: 'max' as const },
    }),
  });
  await fc.assert(
    fc.asyncProperty(schedule, async ({ partBytes, tailTiers, requests }) => {
      const relay = startFastRelay({ partBytes, tailTiers });
      const nodes = [relay, relay.startOther(), relay.startOther()];
      const content = patternBytes(requests.reduce((sum, { bytes }) => sum + bytes, 0));
      const uploadId = await create(relay, content.length);
      let offset = 0;
      for (const { node, bytes } of requests) {
        await patch(nodes[node] as TestNode, uploadId, offset, content.subarray(offset, offset + bytes));
        offset += bytes;
      }
      const upload = await relay.catalog.find(uploadId);
      assert.equal(upload?.state, 'finished');
      assert.ok(relay.storage.bytesOf(upload.objectKey)?.equals(content));
      assert.deepEqual([...relay.storage.objects.keys()], [upload.objectKey]);
      for (const { budget, failures } of nodes) {
        assert.deepEqual(failures, []);
        assert.equal(budget.figures.inFlightBytes, 0);
        assert.equal(budget.figures.reserveUsedBytes, 0);
      }
    }),
    { numRuns: 60 },
  );
});

test('two nodes in turn: a merge fetches only what the other one has written', async (t) => {
  const relay = await startTestRelay(t, { partBytes: 64 * KIB });
  const other = startNode(relay.database, relay.storage, { partBytes: 64 * KIB });
  const content = patternBytes(10 * 100);
  const uploadId = await create(relay, content.length);
  for (let count = 0; count < 8; count += 1) {
    await patch(
      count % 2 === 0 ? relay : other,
      uploadId,
      100 * count,
      content.subarray(100 * count, 100 * count + 100),
    );
  }
  assert.deepEqual(await tailBytesOf(relay, uploadId), [800]);
  assert.equal(relay.storage.counts().GetObject, 4);
  relay.storage.forget();
  await patch(other, uploadId, 800, content.subarray(800, 900));
  const finished = await patch(other, uploadId, 900, content.subarray(900));
  assert.equal(relay.storage.counts().GetObject, undefined, 'the merged segment is remembered, too');
  assert.ok(relay.storage.bytesOf(finished.objectKey)?.equals(content));
  assert.deepEqual([...relay.storage.objects.keys()], [finished.objectKey]);
});

test('a merge for which there is no room is put off, and the bytes that have arrived are stored', async (t) => {
  const settings = { partBytes: 64 * MIB };
  const relay = await startTestRelay(t, settings);
  const size = 100 * KIB;
  const content = patternBytes(10 * size);
  const bodyAt = (count: number) => content.subarray(count * size, (count + 1) * size);
  const uploadId = await create(relay, content.length);
  for (let count = 0; count < 7; count += 1) await patch(relay, uploadId, count * size, bodyAt(count));
  // Seven segments are more than a merge's reserve, and there is no disk.
  const other = startNode(relay.database, relay.storage, settings);
  const taken = other.budget.largestGrantBytes - 400 * KIB;
  assert.ok(other.budget.take(taken));
  await patch(other, uploadId, 7 * size, bodyAt(7));
  assert.deepEqual(await tailBytesOf(relay, uploadId), Array(8).fill(size));
  other.budget.give(taken);
  await patch(other, uploadId, 8 * size, bodyAt(8));
  assert.deepEqual(await tailBytesOf(relay, uploadId), [9 * size]);
  const finished = await patch(other, uploadId, 9 * size, bodyAt(9));
  assert.ok(relay.storage.bytesOf(finished.objectKey)?.equals(content));
  assert.deepEqual([...relay.storage.objects.keys()], [finished.objectKey]);
});
