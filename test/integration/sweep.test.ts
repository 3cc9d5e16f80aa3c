import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { sql } from 'kysely';
import type { CommittedPart } from '../../src/catalog/upload-catalog.ts';
import type { UploadRecord } from '../../src/catalog/upload-record.ts';
import { UPLOAD_STAMP } from '../../src/relay/object-headers.ts';
import { UploadGoneError, UploadNotFoundError } from '../../src/relay/relay-errors.ts';
import { bodyOf, patternBytes } from '../support/test-relay.ts';
import { startTestSweeper, type TestSweeper } from '../support/test-sweeper.ts';

async function create(node: TestSweeper, lengthBytes: number) {
  const { upload } = await node.relay.create({ owner: 'public', lengthBytes, metadata: null, body: null });
  return upload.uploadId;
}

async function createAndSend(node: TestSweeper, lengthBytes: number, sendBytes: number) {
  const uploadId = await create(node, lengthBytes);
  const body = bodyOf(patternBytes(sendBytes));
  await node.relay.append({ uploadId, offsetBytes: 0, declaredLengthBytes: null, body });
  return uploadId;
}

async function expireNow(node: TestSweeper, uploadIds: readonly string[]) {
  await sql`UPDATE uploads SET expires_at = now() - interval '1 second' WHERE id IN (${sql.join(uploadIds)})`.execute(
    node.database.db,
  );
}

async function letRechecksCome(node: TestSweeper) {
  await sql`UPDATE discards SET recheck_at = now() WHERE recheck_at IS NOT NULL`.execute(node.database.db);
}

async function addDiscards(node: TestSweeper, count: number): Promise<void> {
  await sql`INSERT INTO discards (upload_id, object_key)
    SELECT gen_random_uuid(), 'uploads/gone/' || lpad(n::text, 6, '0') FROM generate_series(1, ${count}::int) n`.execute(
    node.database.db,
  );
}

async function countDiscards(node: TestSweeper): Promise<number> {
  return (await node.sweeps.countDue()).removed;
}

test('an upload whose time is over ends, and nothing of it stays in the bucket', async (t) => {
  const node = await startTestSweeper(t);
  const overdue = await createAndSend(node, 5_000, 2_300);
  const alive = await createAndSend(node, 5_000, 300);
  await expireNow(node, [overdue]);
  const { counts, failures } = await node.sweeper.sweep();
  assert.deepEqual(failures, []);
  assert.equal(counts.expired, 1);
  assert.ok(counts.removed >= 2, `the tail and the multipart upload: ${counts.removed}`);
  await assert.rejects(node.relay.look(overdue), UploadGoneError);
  assert.equal((await node.relay.look(alive)).offsetBytes, 300);
  assert.equal(node.storage.multiparts.size, 0);
  assert.deepEqual(
    [...node.storage.objects.keys()],
    (await node.catalog.findTail(alive)).map((segment) => segment.objectKey),
  );
});

test('a completion that nobody carries on is given to the queue', async (t) => {
  const node = await startTestSweeper(t);
  node.storage.fate = ({ operation }) => (operation === 'CompleteMultipartUpload' ? { kind: 'fail' } : { kind: 'ok' });
  const uploadId = await create(node, 2_500);
  const body = bodyOf(patternBytes(2_500));
  await assert.rejects(node.relay.append({ uploadId, offsetBytes: 0, declaredLengthBytes: null, body }));
  node.jobs.length = 0;
  assert.equal((await node.sweeper.sweep()).counts.completionsResumed, 0, 'its own job has its minute first');
  await sql`UPDATE uploads SET writer_seen_at = now() - interval '61 seconds'`.execute(node.database.db);
  assert.equal((await node.sweeper.sweep()).counts.completionsResumed, 1);
  assert.deepEqual(node.jobs, [{ queue: 'upload-completion', data: { uploadId } }]);
});

test('a step that fails keeps no other from its work', async (t) => {
  const node = await startTestSweeper(t);
  await expireNow(node, [await create(node, 10)]);
  await addDiscards(node, 1);
  await sql`INSERT INTO discards (upload_id, object_key, deleted_at, recheck_at)
    VALUES (gen_random_uuid(), 'uploads/rechecked', now(), now())`.execute(node.database.db);
  node.storage.fate = ({ operation, key }) =>
    operation === 'DeleteObjects' && key.includes('uploads/gone/') ? { kind: 'fail' } : { kind: 'ok' };
  const { counts, failures } = await node.sweeper.sweep();
  assert.equal(counts.expired, 1);
  assert.equal(counts.removed, 0);
  assert.equal(counts.rechecked, 1);
  assert.equal(failures.length, 1);
  assert.match(String(failures[0]), /InternalError/);
  node.storage.fate = () => ({ kind: 'ok' });
  await node.discards.makeAllDue();
  assert.equal((await node.sweeper.sweep()).counts.removed, 2, 'what failed has its next turn');
  assert.equal(await countDiscards(node), 0);
});

test('objects that S3 refuses to delete, however many, do not keep the others', async (t) => {
  const node = await startTestSweeper(t);
  await addDiscards(node, 700);
  const { deleteObjects } = node.storage;
  const isStuck = (key: string) => /^uploads\/gone\/000[0-5]/.test(key); // the first 599
  node.storage.deleteObjects = async (keys) => {
    await deleteObjects.call(
      node.storage,
      keys.filter((key) => !isStuck(key)),
    );
    return { failedKeys: keys.filter(isStuck) };
  };
  const { counts, failures } = await node.sweeper.sweep();
  assert.equal(counts.removed, 101);
  assert.match(
    failures.map(String).join('\n'),
    /^LeftoversError: 599 leftovers .*did not delete 500 of 500 objects[^\n]*$/,
  );
  assert.equal(await countDiscards(node), 599);
  node.storage.forget();
  assert.deepEqual((await node.sweeper.sweepToTheEnd()).failures, []);
  assert.deepEqual(node.storage.counts(), {}, 'the 599 are not due yet');
});

test('a sweep to the end tells of what failed in its first turn', async (t) => {
  const node = await startTestSweeper(t);
  await addDiscards(node, 10_600);
  const { deleteObjects } = node.storage;
  node.storage.deleteObjects = async (keys) => {
    const failedKeys = keys.filter((key) => key === 'uploads/gone/000007');
    await deleteObjects.call(node.storage, keys);
    return { failedKeys };
  };
  const { counts, failures } = await node.sweeper.sweepToTheEnd();
  assert.equal(counts.removed, 10_599);
  assert.match(failures.map(String).join('\n'), /^LeftoversError: 1 leftovers .*uploads\/gone\/000007$/);
});

test('a turn ends at its bound, and the next goes on behind it', async (t) => {
  const node = await startTestSweeper(t);
  await addDiscards(node, 10_600);
  assert.equal((await node.sweeper.sweep()).counts.removed, 10_000);
  assert.equal((await node.sweeper.sweep()).counts.removed, 600);
  await addDiscards(node, 10_600);
  assert.equal((await node.sweeper.sweepToTheEnd()).counts.removed, 10_600);
});

test('an ended upload is forgotten after a week, when nothing of it is left to remove', async (t) => {
  const node = await startTestSweeper(t);
  const [fresh, old, leaving, finished] = [
    await create(node, 10),
    await create(node, 10),
    await create(node, 10),
    await createAndSend(node, 10, 10),
  ];
  for (const uploadId of [fresh, old, leaving]) await node.relay.terminate(uploadId);
  await node.sweeper.sweep();
  await sql`INSERT INTO discards (upload_id, object_key, deleted_at, recheck_at)
    VALUES (${leaving}, 'x', now(), now() + interval '1 hour')`.execute(node.database.db);
  await sql`UPDATE uploads SET created_at = now() - interval '1 year', finished_at = now() - interval '1 year',
    expires_at = now() - interval '1 year'`.execute(node.database.db);
  await sql`UPDATE uploads SET ended_at = now() - interval '8 days' WHERE id IN (${old}, ${leaving})`.execute(
    node.database.db,
  );
  assert.equal((await node.sweeper.sweep()).counts.purged, 1);
  await assert.rejects(node.relay.look(old), UploadNotFoundError);
  for (const uploadId of [fresh, leaving]) await assert.rejects(node.relay.look(uploadId), UploadGoneError);
  assert.equal((await node.relay.look(finished)).state, 'finished');
});

test('stopping ends a turn in the middle, and what it left is found again', async (t) => {
  const node = await startTestSweeper(t);
  await addDiscards(node, 1_200);
  const reached = Promise.withResolvers<void>();
  const { deleteObjects } = node.storage;
  let batches = 0;
  node.storage.deleteObjects = async (keys, options) => {
    batches += 1;
    if (batches === 1) return deleteObjects.call(node.storage, keys);
    // S3 does not answer: the call ends when its signal says so.
    reached.resolve();
    return new Promise((_resolve, reject) =>
      options?.signal?.addEventListener('abort', () => reject(options.signal?.reason)),
    );
  };
  node.sweeper.start();
  await reached.promise;
  await node.sweeper.stop();
  assert.deepEqual(node.failures, []);
  assert.equal(await countDiscards(node), 700);
});

/** As a backup of the database that is older than the bucket says it. */
async function restoreRow(node: TestSweeper, uploadId: string, row: UploadRecord, parts: readonly CommittedPart[]) {
  await sql`UPDATE uploads SET state = 'open', offset_bytes = ${row.offsetBytes}, length_bytes = ${row.lengthBytes},
    finished_at = NULL, s3_upload_id = ${row.s3UploadId}, detected_type = NULL, dirty = false WHERE id = ${uploadId}`.execute(
    node.database.db,
  );
  for (const { partNumber, bytes, etag } of parts)
    await sql`INSERT INTO upload_parts (upload_id, part_number, bytes, etag)
      VALUES (${uploadId}, ${partNumber}, ${bytes}, ${etag})`.execute(node.database.db);
}

for (const declared of [3_300, null]) {
  test(`what a restored backup shows as open and the bucket has whole is finished when it expires, length ${declared}`, async (t) => {
    const node = await startTestSweeper(t);
    const content = Buffer.concat([Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'), patternBytes(3_284)]);
    const { upload } = await node.relay.create({ owner: 'public', lengthBytes: declared, metadata: null, body: null });
    const send = (from: number, to: number) =>
      node.relay.append({
        ...{ uploadId: upload.uploadId, offsetBytes: from, declaredLengthBytes: to === 3_300 ? 3_300 : null },
        body: bodyOf(content.subarray(from, to)),
      });
    await send(0, 1_200);
    const backup = await node.relay.look(upload.uploadId);
    const parts = await node.catalog.findParts(upload.uploadId);
    assert.equal(parts.length, 1);
    await send(1_200, 3_300);
    await node.sweeper.sweep();
    node.finished.length = 0;
    await restoreRow(node, upload.uploadId, backup, parts);

    // A client that comes back is turned away, and takes nothing along.
    await assert.rejects(send(1_200, 3_300), UploadGoneError);
    await expireNow(node, [upload.uploadId]);
    const { counts, failures } = await node.sweeper.sweep();
    assert.deepEqual([counts.expired, counts.adopted, failures, node.failures], [0, 1, [], []]);
    assert.deepEqual(node.finished, [upload.uploadId]);
    assert.deepEqual(node.adopted, [upload.uploadId]);
    const found = await node.relay.look(upload.uploadId);
    assert.deepEqual([found.state, found.offsetBytes, found.lengthBytes], ['finished', 3_300, 3_300]);
    assert.equal(found.detectedType, 'image/png');
    await letRechecksCome(node);
    await node.sweeper.sweep();
    assert.deepEqual([...node.storage.objects.keys()], [upload.objectKey]);
    assert.deepEqual(node.storage.bytesOf(upload.objectKey), content);
    assert.deepEqual(await node.catalog.findParts(upload.uploadId), []);
  });
}

test('a small upload that was stored, and whose writer died before its commit, is finished when it expires', async (t) => {
  const node = await startTestSweeper(t);
  const uploadId = await create(node, 500);
  const { finishSingle } = node.catalog;
  node.catalog.finishSingle = () => Promise.reject(new Error('killed'));
  await assert.rejects(
    node.relay.append({ uploadId, offsetBytes: 0, declaredLengthBytes: null, body: bodyOf(patternBytes(500)) }),
  );
  node.catalog.finishSingle = finishSingle;
  await expireNow(node, [uploadId]);
  assert.equal((await node.sweeper.sweep()).counts.adopted, 1);
  assert.equal((await node.relay.look(uploadId)).state, 'finished');
  await node.relay.terminate(uploadId);
  await node.sweeper.sweep();
  assert.equal(node.storage.objects.size, 0, 'and is deleted like any other file');
});

test('an object under the key of an expired upload that is not its whole content goes with it', async (t) => {
  const node = await startTestSweeper(t);
  const [short, foreign, deferred] = [await create(node, 400), await create(node, 400), await create(node, 400)];
  await sql`UPDATE uploads SET length_bytes = NULL WHERE id = ${deferred}`.execute(node.database.db);
  const stored = { [short]: [399, short], [foreign]: [400, randomUUID()], [deferred]: [400, null] } as const;
  for (const [uploadId, [bytes, stamp]] of Object.entries(stored)) {
    const { objectKey } = await node.relay.look(uploadId);
    const body = { bytes, read: () => [patternBytes(bytes)] };
    await node.storage.putObject(objectKey, body, stamp === null ? {} : { metadata: { [UPLOAD_STAMP]: stamp } });
  }
  await expireNow(node, Object.keys(stored));
  const { counts } = await node.sweeper.sweep();
  assert.deepEqual([counts.expired, counts.adopted, node.storage.objects.size], [3, 0, 0]);
});

test('an upload that S3 cannot be asked about does not expire, and keeps no other from it', async (t) => {
  const node = await startTestSweeper(t);
  const stuck = await create(node, 10);
  const { objectKey } = await node.relay.look(stuck);
  await expireNow(node, [stuck]);
  const others = await Promise.all(Array.from({ length: 120 }, () => create(node, 10)));
  await expireNow(node, others);
  await sql`UPDATE uploads SET expires_at = now() - interval '1 hour' WHERE id = ${stuck}`.execute(node.database.db);
  node.storage.fate = ({ operation, key }) =>
    operation === 'HeadObject' && key === objectKey ? { kind: 'fail' } : { kind: 'ok' };
  const { counts, failures } = await node.sweeper.sweep();
  assert.deepEqual([counts.expired, failures.length], [120, 1]);
  assert.equal((await node.catalog.find(stuck))?.state, 'open');
  node.storage.fate = () => ({ kind: 'ok' });
  assert.equal((await node.sweeper.sweep()).counts.expired, 1);
});

test('while S3 answers nothing, nothing expires, and a turn asks only once about each of a few', async (t) => {
  const node = await startTestSweeper(t);
  await expireNow(node, await Promise.all(Array.from({ length: 150 }, () => create(node, 10))));
  node.storage.fate = () => ({ kind: 'fail' });
  const before = node.storage.counts().HeadObject ?? 0;
  const { counts, failures } = await node.sweeper.sweepToTheEnd();
  assert.deepEqual([counts.expired, failures.length], [0, 1]);
  assert.equal((node.storage.counts().HeadObject ?? 0) - before, 100);
});

test('a dry run counts what a sweep then does', async (t) => {
  const node = await startTestSweeper(t);
  await expireNow(node, [await create(node, 10), await create(node, 20)]);
  await addDiscards(node, 3);
  const due = await node.sweeps.countDue();
  assert.deepEqual(due, { expired: 2, completionsResumed: 0, removed: 3, rechecked: 0, purged: 0 });
  const { counts } = await node.sweeper.sweep();
  assert.equal(counts.expired, due.expired);
  assert.equal(counts.removed, due.removed + 2, 'and the objects of those that expired');
  assert.deepEqual(await node.sweeps.countDue(), {
    ...{ expired: 0, completionsResumed: 0, removed: 0, rechecked: 0, purged: 0 },
  });
});

test('the discard of a lost multipart upload leaves the file under the same key alone', async (t) => {
  const node = await startTestSweeper(t);
  const uploadId = await createAndSend(node, 10, 10);
  const { objectKey } = await node.relay.look(uploadId);
  const { s3UploadId } = await node.storage.createMultipartUpload(objectKey, {});
  const other = await node.storage.createMultipartUpload(objectKey, {});
  await sql`INSERT INTO discards (upload_id, object_key, s3_upload_id, scope)
    VALUES (${randomUUID()}, ${objectKey}, ${s3UploadId}, 'multipart')`.execute(node.database.db);
  assert.equal((await node.sweeper.sweep()).counts.removed, 1);
  assert.deepEqual([...node.storage.multiparts.keys()], [other.s3UploadId]);
  assert.equal(node.storage.bytesOf(objectKey)?.length, 10);
});
