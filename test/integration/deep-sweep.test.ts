import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { sql } from 'kysely';
import type { DeepSweepReport, FoundAs } from '../../src/relay/deep-sweep-report.ts';
import { openTestDatabase } from '../support/test-database.ts';
import { bodyOf, patternBytes } from '../support/test-relay.ts';
import {
  DAY_MS,
  letTimePass,
  startSweeperOn,
  startTestSweeper,
  storeObject,
  type TestSweeper,
} from '../support/test-sweeper.ts';

const freshKey = (prefix = '') => `${prefix}uploads/public/2026/01/31/${randomUUID()}`;

async function createAndSend(node: TestSweeper, lengthBytes: number, sendBytes: number) {
  const { upload } = await node.relay.create({ owner: 'public', lengthBytes, metadata: null, body: null });
  const { uploadId } = upload;
  const body = bodyOf(patternBytes(sendBytes));
  return (await node.relay.append({ uploadId, offsetBytes: 0, declaredLengthBytes: null, body })).upload;
}

const keysFoundAs = (report: DeepSweepReport, foundAs: FoundAs) =>
  report.named
    .filter((it) => it.foundAs === foundAs)
    .map((it) => it.key)
    .sort();

/** The marker aside. */
const keysIn = ({ storage }: Pick<TestSweeper, 'storage'>) =>
  [...storage.objects.keys()].filter((key) => !key.includes('.tus-relay-')).sort();

test('what the catalog does not know is removed, a day after it was stored', async (t) => {
  const node = await startTestSweeper(t);
  const base = freshKey();
  const orphans = [base, `${base}.tail/${randomUUID()}/1`, `${base}.copy/${randomUUID()}/12`, `${base}_thumb_128`];
  for (const key of orphans) await storeObject(node.storage, key);
  const young = await storeObject(node.storage, freshKey(), DAY_MS - 60_000);
  await node.marker.adopt(); // there is no marker yet, and objects that nobody knows
  const report = await node.deep();
  assert.equal(report.refusal, null);
  assert.equal(report.objectsListed, 5);
  assert.equal(report.objectsUnknown, 5);
  assert.deepEqual([report.leftovers, report.removed, report.young, report.files], [4, 4, 1, 0]);
  assert.deepEqual(keysFoundAs(report, 'removed'), orphans.sort());
  assert.deepEqual(keysFoundAs(report, 'young'), [young]);
  assert.deepEqual(keysIn(node), [young]);
});

test('what uploads in any state need stays, however old it is', async (t) => {
  const node = await startTestSweeper(t, 'tenant/');
  await node.marker.keep();
  await createAndSend(node, 10, 10); // finished, one object
  await createAndSend(node, 2_500, 2_500); // finished, three parts
  await createAndSend(node, 5_000, 300); // a tail
  await createAndSend(node, 5_000, 2_300); // a multipart upload and a tail
  node.storage.fate = ({ operation }) => (operation === 'CompleteMultipartUpload' ? { kind: 'fail' } : { kind: 'ok' });
  await assert.rejects(createAndSend(node, 2_000, 2_000)); // completing
  node.storage.fate = () => ({ kind: 'ok' });
  await node.discards.idle();
  letTimePass(node.storage);
  const before = keysIn(node);
  const multiparts = [...node.storage.multiparts.keys()];
  assert.equal(before.length, 4);
  assert.equal(multiparts.length, 2);
  const report = await node.deep();
  assert.equal(report.refusal, null);
  assert.equal(report.objectsListed, 4);
  assert.equal(report.multipartsListed, 2);
  assert.deepEqual([report.objectsUnknown, report.multipartsUnknown], [0, 0]);
  assert.deepEqual(keysIn(node), before);
  assert.deepEqual([...node.storage.multiparts.keys()], multiparts);
});

test('thumbnails stay with their file, and while their job is still to run', async (t) => {
  const node = await startTestSweeper(t);
  await node.marker.keep();
  const [known, pending] = [await createAndSend(node, 10, 10), await createAndSend(node, 10, 10)];
  for (const { uploadId, objectKey } of [known, pending]) {
    await sql`INSERT INTO files (id, owner, object_key, bytes, thumbnails_pending)
      VALUES (${uploadId}, 'public', ${objectKey}, 10, ${uploadId === pending.uploadId})`.execute(node.database.db);
  }
  await sql`INSERT INTO file_variants (file_id, size, object_key, bytes, width, height)
    VALUES (${known.uploadId}, 128, ${`${known.objectKey}_thumb_128`}, 1, 1, 1)`.execute(node.database.db);
  for (const { objectKey } of [known, pending]) await storeObject(node.storage, `${objectKey}_thumb_128`);
  const orphan = await storeObject(node.storage, `${known.objectKey}_thumb_512`);
  letTimePass(node.storage);
  assert.deepEqual(keysFoundAs(await node.deep(), 'removed'), [orphan]);
});

test('a segment of the writer that is at work stays, one of an earlier writer goes', async (t) => {
  const node = await startTestSweeper(t);
  await node.marker.keep();
  const upload = await createAndSend(node, 5_000, 300);
  const token = randomUUID();
  await node.catalog.claim({
    ...{ uploadId: upload.uploadId, offsetBytes: 300, token, freshKeyName: randomUUID() },
    ...{ declaredLengthBytes: null, maxParts: 10_000, partsAhead: 4, onlyAfterSilenceSecs: null },
  });
  await storeObject(node.storage, `${upload.objectKey}.tail/${token}/2`);
  const fenced = await storeObject(node.storage, `${upload.objectKey}.tail/${randomUUID()}/2`);
  letTimePass(node.storage);
  assert.deepEqual(keysFoundAs(await node.deep(), 'removed'), [fenced]);
});

test('a multipart upload that nobody carries on is aborted, without the file of the same key', async (t) => {
  const node = await startTestSweeper(t);
  await node.marker.keep();
  const file = await createAndSend(node, 10, 10);
  const open = await createAndSend(node, 5_000, 2_300);
  const writing = await createAndSend(node, 5_000, 1_000);
  await node.catalog.claim({
    ...{ uploadId: writing.uploadId, offsetBytes: 1_000, token: randomUUID(), freshKeyName: randomUUID() },
    ...{ declaredLengthBytes: null, maxParts: 10_000, partsAhead: 4, onlyAfterSilenceSecs: null },
  });
  const known = [...node.storage.multiparts.keys()];
  const lost: string[] = [];
  for (const key of [file.objectKey, open.objectKey, freshKey()]) {
    lost.push((await node.storage.createMultipartUpload(key, {})).s3UploadId);
  }
  // Its writer may be about to commit it.
  const pending = await node.storage.createMultipartUpload(writing.objectKey, {});
  letTimePass(node.storage);
  const report = await node.deep();
  assert.equal(report.multipartsUnknown, 3);
  assert.deepEqual([...node.storage.multiparts.keys()].sort(), [...known, pending.s3UploadId].sort());
  assert.equal(node.storage.bytesOf(file.objectKey)?.length, 10);
  assert.ok(lost.every((id) => !node.storage.multiparts.has(id)));
});

test('nobody else’s object is touched: outside the prefix, or not exactly of our form', async (t) => {
  const node = await startTestSweeper(t, 'tenant/');
  await node.marker.keep();
  const uuid = randomUUID();
  const strangers = [
    `uploads/public/2026/01/31/${uuid}`,
    `tenant-2/uploads/public/2026/01/31/${uuid}`,
    `tenant/uploads/readme.txt`,
    `tenant/uploads/public/2026/1/31/${uuid}`,
    `tenant/uploads/public/2026/01/31/${uuid}/more`,
    `tenant/uploads/public/2026/01/31/${uuid}.tail/x/1`,
    `tenant/uploads/public/2026/01/31/${uuid}_thumb_128.webp`,
    `tenant/uploads/public/2026/01/31/${uuid.toUpperCase()}`,
    `tenant/backup/uploads/public/2026/01/31/${uuid}`,
  ];
  for (const key of strangers) await storeObject(node.storage, key);
  const stranger = await node.storage.createMultipartUpload(`tenant/uploads/video-${uuid}.mp4`, {});
  letTimePass(node.storage);
  const report = await node.deep();
  assert.equal(report.refusal, null);
  assert.deepEqual([report.objectsListed, report.multipartsListed], [0, 0]);
  assert.deepEqual(keysIn(node), strangers.sort());
  assert.ok(node.storage.multiparts.has(stranger.s3UploadId));
});

test('a dry run writes nothing, neither to the bucket nor to the catalog', async (t) => {
  const node = await startTestSweeper(t);
  const orphan = await storeObject(node.storage, freshKey());
  const before = JSON.stringify([...node.storage.objects]);
  for (const adopt of [false, true]) {
    const report = await node.deep({ dryRun: true, adopt });
    assert.deepEqual(keysFoundAs(report, 'removed'), [orphan]);
    assert.equal(report.refusal === null, adopt, 'without a marker it would be refused');
  }
  assert.equal(JSON.stringify([...node.storage.objects]), before);
  assert.equal((await node.sweeps.countDue()).removed, 0);
});

test('all pages are read', async (t) => {
  const node = await startTestSweeper(t);
  await node.marker.keep();
  for (let i = 0; i < 2_100; i += 1) await storeObject(node.storage, freshKey());
  const report = await node.deep();
  assert.equal(report.objectsUnknown, 2_100);
  assert.equal(report.removed, 2_100);
  assert.equal(report.named.length, 100);
  assert.deepEqual(keysIn(node), []);
});

test('two deployments that share a bucket by mistake cannot delete each other’s objects', async (t) => {
  const first = await startTestSweeper(t);
  await first.marker.keep();
  const second = startSweeperOn(await openTestDatabase(t), first.storage);
  const objects = [(await createAndSend(first, 10, 10)).objectKey, (await createAndSend(second, 20, 20)).objectKey];
  letTimePass(first.storage);
  const refused = await second.deep();
  assert.match(refused.refusal ?? '', /names another catalog .* check that no other deployment/);
  assert.match(refused.refusal ?? '', /--deep --adopt/);
  // The rightful one takes the other's object for an orphan: it has to be told.
  const warned = await first.deep();
  assert.match(warned.refusal ?? '', /another catalog .* check that no other deployment/);
  assert.deepEqual(keysIn(first), objects.sort());
  // The operator has moved the second one elsewhere, and says so.
  assert.equal((await first.deep({ adopt: true })).adopted, 1);
  const after = await first.deep();
  assert.deepEqual([after.refusal, after.objectsUnknown], [null, 0]);
  assert.deepEqual(keysIn(first), objects.sort(), 'finished files are removed by nobody');
});

test('a restored backup is refused, and what was uploaded since it was made stays', async (t) => {
  const node = await startTestSweeper(t);
  await node.marker.keep();
  const backup = await readIdentity(node);
  await rotateNow(node);
  const lost = await createAndSend(node, 10, 10);
  letTimePass(node.storage);
  await sql`DELETE FROM uploads`.execute(node.database.db);
  await sql`UPDATE catalog_identity SET generation = ${backup}, rotated_at = now() - interval '1 day'`.execute(
    node.database.db,
  );
  for (const _turn of [1, 2]) {
    assert.match((await node.deep()).refusal ?? '', /a restored backup or a clone/);
    assert.deepEqual(keysIn(node), [lost.objectKey]);
  }
  const shown = await node.deep({ dryRun: true });
  assert.deepEqual([keysFoundAs(shown, 'file'), shown.refusal === null], [[lost.objectKey], false]);
  const adopted = await node.deep({ adopt: true });
  assert.deepEqual([adopted.refusal, adopted.adopted, adopted.removed], [null, 1, 0]);
  assert.deepEqual(keysIn(node), [lost.objectKey]);
});

test('of a catalog and its clone neither sweeps, whichever was faster to renew the marker', async (t) => {
  const original = await startTestSweeper(t);
  await original.marker.keep();
  const clone = startSweeperOn(await openTestDatabase(t), original.storage);
  const { rows } = await sql<{ catalog_id: string; generation: string }>`
    SELECT catalog_id, generation FROM catalog_identity`.execute(original.database.db);
  await sql`INSERT INTO catalog_identity (catalog_id, generation, rotated_at)
    VALUES (${rows[0]?.catalog_id}, ${rows[0]?.generation}, now())`.execute(clone.database.db);
  const uploaded = await createAndSend(original, 10, 10);
  await rotateNow(clone); // the clone wins
  await sql`UPDATE catalog_identity SET rotated_at = now() - interval '1 hour'`.execute(original.database.db);
  await assert.rejects(original.marker.keep(), /restored backup or a clone/);
  letTimePass(original.storage);
  for (const node of [original, clone]) assert.notEqual((await node.deep()).refusal, null);
  assert.deepEqual(keysIn(original), [uploaded.objectKey]);
});

test('a marker that changes hands during the listing stops the sweep before it discards anything', async (t) => {
  const node = await startTestSweeper(t);
  await node.marker.keep();
  const orphan = await storeObject(node.storage, freshKey());
  const other = startSweeperOn(await openTestDatabase(t), node.storage);
  const { listObjects } = node.storage;
  node.storage.listObjects = async (prefix, after) => {
    const page = await listObjects.call(node.storage, prefix, after);
    if (prefix === 'uploads/') await other.marker.adopt();
    return page;
  };
  assert.match((await node.deep()).refusal ?? '', /names another catalog/);
  assert.deepEqual(keysIn(node), [orphan]);
});

async function readIdentity(node: TestSweeper): Promise<string> {
  const { rows } = await sql<{ generation: string }>`SELECT generation FROM catalog_identity`.execute(node.database.db);
  return rows[0]?.generation ?? '';
}

async function rotateNow(node: Pick<TestSweeper, 'database' | 'marker'>): Promise<void> {
  await sql`UPDATE catalog_identity SET rotated_at = now() - interval '1 hour'`.execute(node.database.db);
  await node.marker.keep();
}
