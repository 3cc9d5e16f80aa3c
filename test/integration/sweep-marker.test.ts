import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { sql } from 'kysely';
import { ForeignBucketError } from '../../src/relay/bucket-marker.ts';
import type { Fate } from '../support/memory-object-storage.ts';
import { startTestSweeper, storeObject, type TestSweeper } from '../support/test-sweeper.ts';

function markerIn(node: TestSweeper): { catalogId?: string; generation?: string } | null {
  const bytes = node.storage.bytesOf(node.marker.markerKey);
  return bytes === undefined ? null : JSON.parse(bytes.toString('utf8'));
}

async function makeDue(node: TestSweeper): Promise<void> {
  await sql`UPDATE catalog_identity SET rotated_at = now() - interval '1 hour'`.execute(node.database.db);
}

const refused = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ForeignBucketError);
  assert.match(error.message, pattern);
  return true;
};

test('an empty bucket gets the catalog’s marker, which is renewed when it is an hour old', async (t) => {
  const node = await startTestSweeper(t, 'tenant/');
  await assert.rejects(node.marker.demandOurs(), refused(/there is no marker/));
  await node.marker.keep();
  assert.equal(node.marker.markerKey, 'tenant/uploads/.tus-relay-catalog');
  const first = markerIn(node);
  await node.marker.demandOurs();
  node.storage.forget();
  await node.marker.keep();
  assert.deepEqual(node.storage.counts(), {}, 'not before its time');
  await makeDue(node);
  await node.marker.keep();
  const second = markerIn(node);
  assert.equal(second?.catalogId, first?.catalogId);
  assert.notEqual(second?.generation, first?.generation);
  await node.marker.demandOurs();
});

test('a server’s own turns write the marker', async (t) => {
  const node = await startTestSweeper(t);
  const written = Promise.withResolvers<void>();
  node.storage.fate = ({ operation }) => {
    if (operation === 'PutObject') written.resolve();
    return { kind: 'ok' };
  };
  node.sweeper.start();
  await written.promise;
  await node.sweeper.stop();
  await node.marker.demandOurs();
});

for (const kind of ['fail', 'drop-reply'] as const) {
  test(`a rotation whose PutObject ends with ${kind} leaves a marker that is ours, and is taken up again`, async (t) => {
    const node = await startTestSweeper(t);
    for (const _round of [1, 2]) {
      const failing: Fate = { kind };
      node.storage.fate = ({ operation }) => (operation === 'PutObject' ? failing : { kind: 'ok' });
      await assert.rejects(node.marker.keep());
      if (markerIn(node) !== null) await node.marker.demandOurs();
      node.storage.fate = () => ({ kind: 'ok' });
      await node.marker.keep();
      await node.marker.demandOurs();
      await makeDue(node);
    }
  });
}

test('a rotation that is killed before its last statement leaves a marker that is ours', async (t) => {
  const node = await startTestSweeper(t);
  await node.marker.keep();
  const generation = randomUUID();
  await sql`UPDATE catalog_identity SET pending = ${generation}`.execute(node.database.db);
  await node.marker.demandOurs(); // killed before the PutObject
  const { catalogId } = markerIn(node) ?? {};
  const bytes = Buffer.from(JSON.stringify({ catalogId, generation }));
  await node.storage.putObject(node.marker.markerKey, { bytes: bytes.length, read: () => [bytes] }, {});
  await node.marker.demandOurs(); // killed after it
  await node.marker.keep();
  assert.equal(markerIn(node)?.generation, generation, 'taken up, not begun anew');
  await node.marker.demandOurs();
});

test('another node’s rotation between two looks is no other catalog', async (t) => {
  const node = await startTestSweeper(t);
  await node.marker.keep();
  await makeDue(node);
  const { getObject } = node.storage;
  let rotated = false;
  node.storage.getObject = async (key, range) => {
    if (!rotated) {
      rotated = true;
      await node.marker.keep();
    }
    return getObject.call(node.storage, key, range);
  };
  await node.marker.demandOurs();
  assert.ok(rotated);
});

test('a bucket with uploads that nobody knows gets no marker of its own accord', async (t) => {
  const node = await startTestSweeper(t);
  await storeObject(node.storage, `uploads/public/2025/01/31/${randomUUID()}`, 0);
  await assert.rejects(node.marker.keep(), refused(/holds uploads that this catalog does not know/));
  assert.equal(markerIn(node), null);
  await node.marker.adopt();
  await node.marker.demandOurs();
});

test('a marker that was removed is not written again of our own accord', async (t) => {
  const node = await startTestSweeper(t);
  await node.marker.keep();
  await node.storage.deleteObjects([node.marker.markerKey]);
  await makeDue(node);
  await assert.rejects(node.marker.keep(), refused(/there is no marker .* S3_BUCKET and S3_KEY_PREFIX/));
  assert.equal(markerIn(node), null);
});

test('what stands in the marker’s place and is none is left as it is', async (t) => {
  const node = await startTestSweeper(t);
  for (const content of ['', 'no JSON', 'null', '{"catalogId": 1}', JSON.stringify({ pad: 'x'.repeat(5_000) })]) {
    const bytes = Buffer.from(content);
    await node.storage.putObject(node.marker.markerKey, { bytes: bytes.length, read: () => [bytes] }, {});
    await assert.rejects(node.marker.keep(), refused(/cannot be read/));
    await assert.rejects(node.marker.demandOurs(), refused(/cannot be read/));
    assert.equal(node.storage.bytesOf(node.marker.markerKey)?.toString(), content);
  }
});
