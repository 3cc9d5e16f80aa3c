import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { sql } from 'kysely';
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
  assert.deepEqual(node.jobs, [{ queue: 'complete-upload', data: { uploadId } }]);
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
  const { counts, left } = await node.sweeper.sweep();
  assert.deepEqual([counts.removed, left], [101, 599]);
  assert.equal(await countDiscards(node), 599);
  assert.match(String(node.failures[0]), /did not delete 500 of 500 objects/);
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
