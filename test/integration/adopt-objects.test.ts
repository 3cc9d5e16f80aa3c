/**
 * A database that was restored from a backup, and a bucket that is younger: finished files whose records are missing are
 * never removed, and get their records back with the operator's word.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { sql } from 'kysely';
import type { Database } from '../../src/catalog/database.ts';
import { FileCatalog } from '../../src/catalog/file-catalog.ts';
import { recordFinished } from '../../src/pipeline/finish.ts';
import type { DeepSweepReport, FoundItem } from '../../src/relay/deep-sweep-report.ts';
import { UPLOAD_STAMP } from '../../src/relay/object-headers.ts';
import { UploadGoneError } from '../../src/relay/relay-errors.ts';
import { bodyOf, patternBytes } from '../support/test-relay.ts';
import { letTimePass, startTestSweeper, storeObject, type TestSweeper } from '../support/test-sweeper.ts';

const PNG = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex');
const base64 = (text: string) => Buffer.from(text).toString('base64');

/** A node whose finished uploads become files, as in the server. */
async function startNode(t: Parameters<typeof startTestSweeper>[0], keyPrefix = '') {
  const node = await startTestSweeper(t, keyPrefix);
  node.end.recordFinished = (trx, upload) => recordFinished(trx, node.queue, upload);
  await node.marker.keep();
  return { ...node, files: new FileCatalog(node.database) };
}

type Node = Awaited<ReturnType<typeof startNode>>;

async function upload(node: TestSweeper, content: Uint8Array, metadata: string | null = null, owner = 'public') {
  const { upload: created } = await node.relay.create({ owner, lengthBytes: content.length, metadata, body: null });
  const { uploadId } = created;
  return send(node, uploadId, 0, content);
}

async function send(node: TestSweeper, uploadId: string, offsetBytes: number, content: Uint8Array) {
  return (await node.relay.append({ uploadId, offsetBytes, declaredLengthBytes: null, body: bodyOf(content) })).upload;
}

const TABLES = ['uploads', 'upload_parts', 'upload_tails', 'files', 'file_variants', 'discards'];

/** Every row as it is now. */
async function backUp({ db }: Database) {
  const rows: Record<string, string> = {};
  for (const table of TABLES) {
    const found = await sql<{ rows: string }>`
      SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]')::text AS rows FROM ${sql.table(table)} t`.execute(db);
    rows[table] = found.rows[0]?.rows ?? '[]';
  }
  return rows;
}

async function restore({ db }: Database, backup: Record<string, string>): Promise<void> {
  await sql`TRUNCATE ${sql.join(TABLES.map((table) => sql.table(table)))}`.execute(db);
  for (const table of TABLES) {
    await sql`INSERT INTO ${sql.table(table)} OVERRIDING SYSTEM VALUE
      SELECT * FROM jsonb_populate_recordset(NULL::${sql.table(table)}, ${backup[table]}::jsonb)`.execute(db);
  }
}

const keysIn = ({ storage }: Pick<TestSweeper, 'storage'>) =>
  [...storage.objects.keys()].filter((key) => !key.includes('.tus-relay-')).sort();

const foundAs = (report: DeepSweepReport, kind: FoundItem['foundAs']) =>
  report.named.filter((it) => it.foundAs === kind).map((it) => it.key);

/** Later sweeps, after every recheck and long after a day. @returns how much they removed */
async function sweepLater(node: Node): Promise<number> {
  letTimePass(node.storage, 30 * 24 * 3_600_000);
  await sql`UPDATE discards SET recheck_at = now() WHERE recheck_at IS NOT NULL`.execute(node.database.db);
  const before = keysIn(node).length;
  const { failures } = await node.sweeper.sweepToTheEnd();
  const report = await node.deep();
  assert.deepEqual([failures, report.refusal, report.objectsUnknown], [[], null, 0]);
  return before - keysIn(node).length;
}

test('files that were finished after the backup, however young, are named by a dry run and get their records back', async (t) => {
  const node = await startNode(t, 'tenant/');
  const kept = await upload(node, patternBytes(40));
  const backup = await backUp(node.database);
  const metadata = `filename ${base64('Ferien – Übersicht.png')},filetype ${base64('image/png')},secret ${base64('x')}`;
  const small = await upload(node, Buffer.concat([PNG, patternBytes(400)]), metadata, 'alice');
  const large = await upload(node, patternBytes(2_500), `name ${base64('a.bin')}`, 'bob');
  const bare = await upload(node, patternBytes(7));
  const empty = (await node.relay.create({ owner: 'public', lengthBytes: 0, metadata: null, body: null })).upload;
  const lost = [small, large, bare, empty];
  const records = await Promise.all(lost.map((it) => node.files.getFile(it.uploadId)));
  await node.sweeper.sweepToTheEnd();
  letTimePass(node.storage, 3_600_000);
  const stored = keysIn(node);
  await restore(node.database, backup);
  node.jobs.length = 0;

  const before = JSON.stringify([...node.storage.objects.keys()]);
  const plan = await node.deep({ dryRun: true, adopt: true });
  assert.deepEqual(foundAs(plan, 'file').sort(), lost.map((it) => it.objectKey).sort());
  assert.deepEqual([plan.files, plan.leftovers, plan.young, plan.adopted], [4, 0, 0, 0]);
  assert.equal(JSON.stringify([...node.storage.objects.keys()]), before);
  assert.equal(await node.files.findFile(small.uploadId), null, 'a dry run writes nothing');

  // Without that word they stay, whatever the marker says: here it says that all is well.
  const kept1 = await node.deep();
  assert.deepEqual([kept1.refusal, kept1.files, kept1.adopted, kept1.removed], [null, 4, 0, 0]);
  assert.deepEqual(keysIn(node), stored);

  const adopted = await node.deep({ adopt: true });
  assert.deepEqual([adopted.files, adopted.adopted, adopted.leftovers, adopted.young], [4, 4, 0, 0]);
  assert.deepEqual(keysIn(node), stored);
  for (const [place, { uploadId }] of lost.entries()) {
    const [was, is] = [records[place], await node.files.getFile(uploadId)];
    assert.deepEqual(
      [is.owner, is.objectKey, is.bytes, is.declaredType, is.detectedType, is.fileName, is.thumbnailsPending],
      [
        was?.owner,
        was?.objectKey,
        was?.bytes,
        was?.declaredType,
        was?.detectedType,
        was?.fileName,
        was?.thumbnailsPending,
      ],
    );
    assert.equal(
      is.createdAt.getTime(),
      node.storage.objects.get(is.objectKey)?.storedAt.getTime(),
      'as old as the object',
    );
    const row = await node.relay.look(uploadId);
    assert.deepEqual([row.state, row.offsetBytes, row.lengthBytes], ['finished', is.bytes, is.bytes]);
  }
  assert.deepEqual(node.jobs, [{ queue: 'thumbnail', data: { fileId: small.uploadId } }]);
  assert.deepEqual(node.adopted.sort(), lost.map((it) => it.uploadId).sort());
  assert.equal((await node.deep({ adopt: true })).adopted, 0, 'once');
  assert.equal(await sweepLater(node), 0);
  // From here on they are files like any other.
  await node.relay.terminate(large.uploadId);
  await node.sweeper.sweepToTheEnd();
  assert.ok(!keysIn(node).includes(large.objectKey) && keysIn(node).includes(kept.objectKey));
});

test('uploads that the backup has as unfinished are finished, and nothing of them stays behind', async (t) => {
  const node = await startNode(t);
  const content = patternBytes(3_300);
  const create = async () =>
    (await node.relay.create({ owner: 'public', lengthBytes: 3_300, metadata: null, body: null })).upload;
  const [open, moved, expired, going] = [await create(), await create(), await create(), await create()];
  await send(node, open.uploadId, 0, content.subarray(0, 1_200));
  await send(node, moved.uploadId, 0, content.subarray(0, 300));
  await send(node, expired.uploadId, 0, content.subarray(0, 300));
  await send(node, going.uploadId, 0, content.subarray(0, 1_200));
  const backup = await backUp(node.database);
  await send(node, open.uploadId, 1_200, content.subarray(1_200));
  // Another node takes it over: its bytes go to another key.
  for (const { uploadId } of [moved, expired]) {
    await claim(node, uploadId, 300);
    await send(node, uploadId, 300, content.subarray(300));
  }
  const ends = await Promise.all([open, moved, expired].map((it) => node.relay.look(it.uploadId)));
  assert.notEqual(ends[1]?.objectKey, moved.objectKey);
  await node.sweeper.sweepToTheEnd();
  await restore(node.database, backup);
  await sql`UPDATE uploads SET expires_at = now() WHERE id = ${expired.uploadId}`.execute(node.database.db);
  await node.sweeper.sweepToTheEnd();
  await assert.rejects(node.relay.look(expired.uploadId), UploadGoneError);

  const plan = await node.deep({ dryRun: true, adopt: true });
  assert.deepEqual(foundAs(plan, 'file').sort(), ends.map((it) => it.objectKey).sort());
  const adopted = await node.deep({ adopt: true });
  assert.equal(adopted.adopted, 3);
  for (const { uploadId, objectKey } of ends) {
    const row = await node.relay.look(uploadId);
    assert.deepEqual([row.state, row.offsetBytes, row.objectKey], ['finished', 3_300, objectKey]);
    assert.equal((await node.files.getFile(uploadId)).objectKey, objectKey);
    assert.deepEqual(node.storage.bytesOf(objectKey), content);
  }
  assert.equal((await node.relay.look(going.uploadId)).offsetBytes, 1_200, 'what is unfinished stays as it is');
  await sweepLater(node);
  const tails = await node.catalog.findTail(going.uploadId);
  const expected = [...ends.map((it) => it.objectKey), ...tails.map((it) => it.objectKey)].sort();
  assert.deepEqual(keysIn(node), expected);
  assert.equal(node.storage.multiparts.size, 1);
  const done = await send(node, going.uploadId, 1_200, content.subarray(1_200));
  assert.equal(done.state, 'finished');
});

async function claim(node: TestSweeper, uploadId: string, offsetBytes: number) {
  const claimed = await node.catalog.claim({
    ...{ uploadId, offsetBytes, token: randomUUID(), freshKeyName: randomUUID() },
    ...{ declaredLengthBytes: null, maxParts: 10_000, partsAhead: 4, onlyAfterSilenceSecs: null },
  });
  assert.notEqual(claimed, null);
}

test('what its owner has deleted, what has no stamp, and what is not whole is a leftover, and goes when it is old', async (t) => {
  const node = await startNode(t);
  const deleted = await upload(node, patternBytes(10));
  const finished = await upload(node, patternBytes(20));
  const half = (await node.relay.create({ owner: 'public', lengthBytes: 30, metadata: null, body: null })).upload;
  await node.relay.terminate(deleted.uploadId);
  await node.sweeper.sweepToTheEnd();
  const key = () => `uploads/public/2026/01/31/${randomUUID()}`;
  const put = async (stamp: string | null, bytes: number) => {
    const objectKey = key();
    const headers = stamp === null ? {} : { metadata: { [UPLOAD_STAMP]: stamp } };
    await node.storage.putObject(objectKey, { bytes, read: () => [patternBytes(bytes)] }, headers);
    return objectKey;
  };
  const leftovers = [
    await put(deleted.uploadId, 10),
    await put(finished.uploadId, 20),
    await put(half.uploadId, 29),
    await put(null, 30),
    await put('no uuid', 30),
  ];
  const young = await node.deep({ adopt: true });
  assert.deepEqual([young.files, young.young, young.leftovers], [0, 5, 0]);
  letTimePass(node.storage);
  const old = await node.deep({ adopt: true });
  assert.deepEqual([old.files, old.adopted, old.removed], [0, 0, 5]);
  assert.deepEqual(foundAs(old, 'removed').sort(), leftovers.sort());
  assert.deepEqual(keysIn(node), [finished.objectKey]);
});

test('thumbnails and tails of a file without a record go with the file: kept with it, and not taken for leftovers', async (t) => {
  const node = await startNode(t);
  const backup = await backUp(node.database);
  const image = await upload(node, Buffer.concat([PNG, patternBytes(400)]));
  const thumbnail = await storeObject(node.storage, `${image.objectKey}_thumb_128`);
  const tail = await storeObject(node.storage, `${image.objectKey}.tail/${randomUUID()}/1`);
  const orphan = await storeObject(node.storage, `uploads/public/2026/01/31/${randomUUID()}_thumb_128`);
  letTimePass(node.storage);
  await restore(node.database, backup);
  const kept = await node.deep();
  assert.deepEqual([kept.files, foundAs(kept, 'removed')], [1, [orphan]]);
  assert.deepEqual(keysIn(node), [image.objectKey, tail, thumbnail].sort());
  assert.equal((await node.deep({ adopt: true })).adopted, 1);
  await node.sweeper.sweepToTheEnd();
  assert.deepEqual(keysIn(node), [image.objectKey, thumbnail].sort(), 'its thumbnail job is still to run');
});

test('an upload that is being written at this moment is left to its writer', async (t) => {
  const node = await startNode(t);
  const { upload: created } = await node.relay.create({ owner: 'public', lengthBytes: 10, metadata: null, body: null });
  const { putObject } = node.storage;
  let seen: DeepSweepReport | null = null;
  node.storage.putObject = async (...args) => {
    const stored = await putObject.apply(node.storage, args);
    // The object is stored, and its commit is still to come.
    if (args[0] === created.objectKey) seen = await node.deep({ adopt: true });
    return stored;
  };
  const finished = await send(node, created.uploadId, 0, patternBytes(10));
  assert.equal(finished.state, 'finished');
  assert.deepEqual([(seen as DeepSweepReport | null)?.files, node.adopted], [0, []]);
});

test('while S3 does not say what an object is, nothing is adopted and nothing removed', async (t) => {
  const node = await startNode(t);
  const backup = await backUp(node.database);
  await upload(node, patternBytes(10));
  await storeObject(node.storage, `uploads/public/2026/01/31/${randomUUID()}`);
  letTimePass(node.storage);
  await restore(node.database, backup);
  const before = keysIn(node);
  node.storage.fate = ({ operation }) => (operation === 'HeadObject' ? { kind: 'fail' } : { kind: 'ok' });
  for (const adopt of [true, false]) await assert.rejects(node.deep({ adopt }), /HeadObject/);
  assert.deepEqual(keysIn(node), before);
  assert.equal((await node.sweeps.countDue()).removed, 0);
});

test('two sweeps at the same time make one record of each file', async (t) => {
  const node = await startNode(t);
  const backup = await backUp(node.database);
  for (let i = 0; i < 25; i += 1) await upload(node, patternBytes(10 + i));
  await restore(node.database, backup);
  const [one, other] = await Promise.all([node.deep({ adopt: true }), node.deep({ adopt: true })]);
  assert.equal(one.adopted + other.adopted, 25);
  const { rows } = await sql<{ n: number }>`SELECT count(*)::int AS n FROM files`.execute(node.database.db);
  assert.equal(rows[0]?.n, 25);
});

test('everything that is found can be listed, beyond what a report names', async (t) => {
  const node = await startNode(t);
  const backup = await backUp(node.database);
  for (let i = 0; i < 130; i += 1) await upload(node, patternBytes(5));
  for (let i = 0; i < 130; i += 1) await storeObject(node.storage, `uploads/public/2026/01/31/${randomUUID()}`, 0);
  const { s3UploadId } = await node.storage.createMultipartUpload(`uploads/public/2026/01/31/${randomUUID()}`, {});
  await restore(node.database, backup);
  const items: FoundItem[] = [];
  const report = await node.deep({ dryRun: true }, (item) => void items.push(item));
  assert.deepEqual([report.files, report.young, report.multipartsUnknown], [130, 131, 1]);
  assert.equal(items.filter((it) => it.foundAs === 'file').length, 130);
  assert.equal(items.filter((it) => it.foundAs === 'young').length, 131);
  assert.equal(items.filter((it) => it.kind === 'multipart').length, 1);
  assert.ok(items.every((it) => it.storedAt !== null && (it.kind === 'multipart' || it.bytes !== null)));
  assert.equal(foundAs(report, 'file').length, 100);
  assert.ok(node.storage.multiparts.has(s3UploadId));
});

test('files whose object was deleted after the backup are named when they are asked for', async (t) => {
  const node = await startNode(t);
  const [there, deleted, cut] = [
    await upload(node, patternBytes(10)),
    await upload(node, patternBytes(11)),
    await upload(node, patternBytes(12)),
  ];
  const backup = await backUp(node.database);
  await node.relay.terminate(deleted.uploadId);
  await node.sweeper.sweepToTheEnd();
  await node.storage.putObject(cut.objectKey, { bytes: 5, read: () => [patternBytes(5)] }, {});
  await restore(node.database, backup);
  assert.equal((await node.deep({ dryRun: true })).missing, null);
  const report = await node.deep({ dryRun: true, verify: true });
  assert.equal(report.missing, 2);
  assert.deepEqual(foundAs(report, 'missing').sort(), [deleted.objectKey, cut.objectKey].sort());
  assert.equal((await node.files.getFile(there.uploadId)).bytes, 10);
});
