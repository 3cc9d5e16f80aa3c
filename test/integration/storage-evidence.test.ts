/** What is missing in the bucket is believed to be gone only of the storage that it was written to. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { sql } from 'kysely';
import { CanaryCatalog } from '../../src/catalog/canary-catalog.ts';
import { CatalogIdentityStore } from '../../src/catalog/catalog-identity.ts';
import { ExpiryCatalog } from '../../src/catalog/expiry-catalog.ts';
import { SweepCatalog } from '../../src/catalog/sweep-catalog.ts';
import { BucketMarker, ForeignBucketError } from '../../src/relay/bucket-marker.ts';
import { runCompletionJob } from '../../src/relay/completion-job.ts';
import { evidentReads } from '../../src/relay/evident-reads.ts';
import { UploadExpirer } from '../../src/relay/expire-uploads.ts';
import { UploadGoneError, UploadLostError } from '../../src/relay/relay-errors.ts';
import { StorageCanary, StorageElsewhereError } from '../../src/relay/storage-canary.ts';
import { MemoryObjectStorage } from '../support/memory-object-storage.ts';
import { openTestDatabase } from '../support/test-database.ts';
import { bodyOf, completionParts, impatientClock, patternBytes, startNode } from '../support/test-relay.ts';

const isCanary = (key: string) => key.startsWith('uploads/.tus-relay-canary-');
const MARKER_KEY = 'uploads/.tus-relay-catalog';

/** A relay with marker and canary in its bucket, which a test can lead to another one. */
async function setUp(t: TestContext) {
  const database = await openTestDatabase(t);
  const storage = new MemoryObjectStorage();
  const identity = new CatalogIdentityStore(database);
  const marker = new BucketMarker({ identity, catalog: new SweepCatalog(database), storage, keyPrefix: '' });
  const changes: (string | null)[] = [];
  const clock = impatientClock();
  const canary = new StorageCanary({
    ...{ storage, identity, marker, clock, keyPrefix: '' },
    catalog: new CanaryCatalog(database),
    onChange: (problem) => changes.push(problem === null ? null : problem.name),
  });
  await marker.keep();
  await canary.keep();
  const node = startNode(database, storage, {}, canary);
  const ours = { objects: new Map(storage.objects), multiparts: new Map(storage.multiparts) };
  return {
    ...{ ...node, database, storage, identity, marker, canary, changes },
    /** Another storage answers from now on: it has nothing of ours, or what a replica has. */
    moveAway(to: 'empty' | 'replica'): void {
      ours.objects = new Map(storage.objects);
      ours.multiparts = new Map(storage.multiparts);
      storage.multiparts.clear();
      if (to === 'empty') storage.objects.clear();
    },
    /** @param secs how long ago, when the test goes on: for some minutes nothing is believed to be gone */
    moveBack(secs = 660): void {
      for (const [key, object] of ours.objects) storage.objects.set(key, object);
      for (const [id, multipart] of ours.multiparts) storage.multiparts.set(id, multipart);
      void clock.sleep(secs * 1_000);
    },
    /** For the canary. */
    letPass: (secs: number) => clock.sleep(secs * 1_000),
    async create(lengthBytes: number): Promise<string> {
      return (await node.relay.create({ owner: 'public', lengthBytes, metadata: null, body: null })).upload.uploadId;
    },
    patch: (uploadId: string, offsetBytes: number, bytes: Uint8Array) =>
      node.relay.append({ uploadId, offsetBytes, declaredLengthBytes: null, body: bodyOf(bytes) }),
    state: async (uploadId: string) => (await node.catalog.find(uploadId))?.state,
  };
}

type Relay = Awaited<ReturnType<typeof setUp>>;

/** Another process, which remembers nothing of the tails. */
function anotherNode(relay: Relay) {
  return startNode(relay.database, relay.storage, {}, relay.canary);
}

for (const kind of ['empty', 'replica'] as const) {
  test(`an upload survives that S3 is another storage for a while (${kind})`, async (t) => {
    const relay = await setUp(t);
    const content = patternBytes(4_000);
    const uploadId = await relay.create(4_000);
    await relay.patch(uploadId, 0, content.subarray(0, 2_300));
    relay.moveAway(kind);
    await assert.rejects(relay.patch(uploadId, 2_300, content.subarray(2_300)), StorageElsewhereError);
    assert.equal(await relay.state(uploadId), 'open');
    await assert.rejects(relay.relay.look(uploadId), StorageElsewhereError);
    await assert.rejects(relay.canary.check(), StorageElsewhereError);
    relay.moveBack(5);
    const { upload } = await relay.patch(uploadId, 2_300, content.subarray(2_300));
    assert.equal(upload.state, 'finished');
    assert.ok(relay.storage.bytesOf(upload.objectKey)?.equals(content));
    assert.deepEqual(relay.changes, ['StorageElsewhereError', null]);
    assert.deepEqual(relay.lost, []);
  });
}

for (const times of [1, 6]) {
  test(`answers that deny an upload ${times} times, while the storage is ours, cost it nothing`, async (t) => {
    const relay = await setUp(t);
    const content = patternBytes(4_000);
    const uploadId = await relay.create(4_000);
    await relay.patch(uploadId, 0, content.subarray(0, 2_000));
    const hidden = relay.storage.multiparts;
    const [[id, multipart] = ['', undefined]] = [...hidden].filter(([, { key }]) => !isCanary(key));
    assert.ok(multipart);
    // UploadPart, ListParts and HEAD deny it; then it is known again.
    hidden.delete(id);
    let looks = 0;
    relay.storage.fate = ({ operation, key }) => {
      if (operation === 'ListParts' && isCanary(key)) looks += 1;
      if (looks === times) hidden.set(id, multipart);
      return { kind: 'ok' };
    };
    const { upload } = await relay.patch(uploadId, 2_000, content.subarray(2_000));
    assert.equal(upload.state, 'finished');
    assert.ok(relay.storage.bytesOf(upload.objectKey)?.equals(content));
  });
}

test('an upload whose multipart upload is gone from our storage is lost at once, and said once', async (t) => {
  const relay = await setUp(t);
  const content = patternBytes(8_000);
  const uploadId = await relay.create(8_000);
  await relay.patch(uploadId, 0, content.subarray(0, 2_000));
  for (const [id, { key }] of relay.storage.multiparts) if (!isCanary(key)) relay.storage.multiparts.delete(id);
  await assert.rejects(relay.patch(uploadId, 2_000, content.subarray(2_000)), UploadLostError);
  assert.deepEqual(relay.lost, [uploadId]);
  assert.equal(await relay.state(uploadId), 'lost');
  await assert.rejects(relay.relay.look(uploadId), UploadGoneError);
});

test('nothing is believed to be gone as long as some answers come from another storage', async (t) => {
  const relay = await setUp(t);
  const uploadId = await relay.create(8_000);
  await relay.patch(uploadId, 0, patternBytes(2_000));
  relay.moveAway('replica');
  await assert.rejects(relay.canary.check(), StorageElsewhereError);
  relay.moveBack(5);
  for (const [id, { key }] of relay.storage.multiparts) if (!isCanary(key)) relay.storage.multiparts.delete(id);
  await assert.rejects(relay.patch(uploadId, 2_000, patternBytes(6_000)), StorageElsewhereError);
  await relay.canary.check();
  assert.equal(await relay.state(uploadId), 'open');
  relay.moveBack();
  assert.equal((await relay.patch(uploadId, 2_000, patternBytes(6_000))).upload.state, 'finished');
});

test('without the marker the canary alone does not end an upload', async (t) => {
  const relay = await setUp(t);
  const uploadId = await relay.create(8_000);
  await relay.patch(uploadId, 0, patternBytes(2_000));
  for (const [id, { key }] of relay.storage.multiparts) if (!isCanary(key)) relay.storage.multiparts.delete(id);
  relay.storage.objects.delete(MARKER_KEY);
  await assert.rejects(relay.patch(uploadId, 2_000, patternBytes(6_000)), StorageElsewhereError);
  assert.equal(await relay.state(uploadId), 'open');
});

// It used to be a 500 for each PATCH, which moved the time of expiry on, for ever.
test('an upload whose tail is not in our storage is lost: its client begins anew', async (t) => {
  const relay = await setUp(t);
  const uploadId = await relay.create(900);
  await relay.patch(uploadId, 0, patternBytes(300));
  for (const key of relay.storage.objects.keys()) if (key.includes('.tail/')) relay.storage.objects.delete(key);
  const other = anotherNode(relay);
  const body = bodyOf(patternBytes(600));
  const appending = other.relay.append({ uploadId, offsetBytes: 300, declaredLengthBytes: null, body });
  await assert.rejects(appending, UploadLostError);
  assert.deepEqual(other.lost, [uploadId]);
  await assert.rejects(relay.relay.look(uploadId), UploadGoneError);
});

test('a tail that another storage lacks is waited for', async (t) => {
  const relay = await setUp(t);
  const content = patternBytes(900);
  const uploadId = await relay.create(900);
  await relay.patch(uploadId, 0, content.subarray(0, 300));
  relay.moveAway('empty');
  const other = anotherNode(relay);
  const append = () =>
    other.relay.append({ uploadId, offsetBytes: 300, declaredLengthBytes: null, body: bodyOf(content.subarray(300)) });
  await assert.rejects(append(), StorageElsewhereError);
  relay.moveBack();
  const { upload } = await append();
  assert.ok(relay.storage.bytesOf(upload.objectKey)?.equals(content));
});

async function completingUpload(relay: Relay, code?: string) {
  const uploadId = await relay.create(2_500);
  relay.storage.fate = ({ operation }) =>
    operation !== 'CompleteMultipartUpload'
      ? { kind: 'ok' }
      : code === undefined
        ? { kind: 'fail' }
        : { kind: 'refuse', code };
  await assert.rejects(relay.patch(uploadId, 0, patternBytes(2_500)));
  assert.equal(await relay.state(uploadId), 'completing');
  const letTimePass = (secs: number) =>
    sql`UPDATE uploads SET completion_trouble_since = completion_trouble_since - make_interval(secs => ${secs})`.execute(
      relay.database.db,
    );
  const ended: string[] = [];
  const runJob = () =>
    runCompletionJob({ uploadId }, { ...completionParts(relay), onGivenUp: (_id, state) => ended.push(state) });
  return { uploadId, letTimePass, runJob, ended };
}

test('a completion is lost when it is missing twice, farther apart than the longest Complete', async (t) => {
  const relay = await setUp(t);
  const { uploadId, letTimePass, runJob, ended } = await completingUpload(relay);
  relay.storage.fate = () => ({ kind: 'ok' });
  for (const [id, { key }] of relay.storage.multiparts) if (!isCanary(key)) relay.storage.multiparts.delete(id);
  await assert.rejects(runJob());
  await letTimePass(600);
  await assert.rejects(runJob());
  assert.equal(await relay.state(uploadId), 'completing');
  await letTimePass(61);
  await runJob();
  assert.deepEqual(ended, ['lost']);
  await runJob();
  assert.deepEqual(ended, ['lost']);
});

test('a completion that another storage does not know is tried until ours is back, and what was missing there does not count', async (t) => {
  const relay = await setUp(t);
  const { uploadId, letTimePass, runJob, ended } = await completingUpload(relay);
  relay.storage.fate = () => ({ kind: 'ok' });
  relay.moveAway('replica');
  for (let turn = 0; turn < 3; turn += 1) {
    await assert.rejects(runJob(), StorageElsewhereError);
    await letTimePass(3_600);
  }
  assert.equal(await relay.state(uploadId), 'completing');
  relay.moveBack();
  await runJob();
  assert.equal(await relay.state(uploadId), 'finished');
  assert.deepEqual(ended, []);
});

test('a completion that S3 refuses is failed after the time that is set, and not before', async (t) => {
  const relay = await setUp(t);
  const { uploadId, letTimePass, runJob, ended } = await completingUpload(relay, 'AccessDenied');
  await assert.rejects(runJob(), /AccessDenied/);
  await letTimePass(86_000);
  await assert.rejects(runJob(), /AccessDenied/);
  assert.equal(await relay.state(uploadId), 'completing');
  await letTimePass(401);
  await runJob();
  assert.deepEqual(ended, ['failed']);
  await assert.rejects(relay.relay.look(uploadId), UploadGoneError);
});

test('a refusal that passes starts the time anew when another trouble was between', async (t) => {
  const relay = await setUp(t);
  const { uploadId } = await completingUpload(relay);
  assert.equal(await relay.catalog.noteCompletionTrouble(uploadId, 'refused'), 0);
  await sql`UPDATE uploads SET completion_trouble_since = now() - interval '1 hour'`.execute(relay.database.db);
  assert.ok(((await relay.catalog.noteCompletionTrouble(uploadId, 'refused')) ?? 0) >= 3_600);
  assert.equal(await relay.catalog.noteCompletionTrouble(uploadId, 'missing'), 0);
  assert.equal(await relay.catalog.noteCompletionTrouble('00000000-0000-4000-8000-000000000000', 'missing'), null);
});

test('an upload whose time is over does not expire by the word of another storage', async (t) => {
  const relay = await setUp(t);
  const uploadId = await relay.create(900);
  await relay.patch(uploadId, 0, patternBytes(300));
  await sql`UPDATE uploads SET expires_at = now() - interval '1 hour'`.execute(relay.database.db);
  const { database, storage, end, canary } = relay;
  const expiry = new ExpiryCatalog(database, { discardRecheckSecs: 1_800 });
  const expirer = new UploadExpirer({ database, expiry, storage, end, evidence: canary });
  relay.moveAway('empty');
  await assert.rejects(expirer.endBatch(10, [], {}), StorageElsewhereError);
  assert.equal(await relay.state(uploadId), 'open');
  relay.moveBack();
  assert.equal((await expirer.endBatch(10, [], {})).expired, 1);
});

test('a finished file that another storage lacks is not taken for gone', async (t) => {
  const relay = await setUp(t);
  const uploadId = await relay.create(10);
  const { upload } = await relay.patch(uploadId, 0, patternBytes(10));
  const reads = evidentReads(relay.storage, relay.canary);
  relay.moveAway('empty');
  // Not by the evidence of a moment ago.
  await relay.letPass(11);
  await assert.rejects(reads.getObject(upload.objectKey), StorageElsewhereError);
  await assert.rejects(reads.headObject(upload.objectKey), StorageElsewhereError);
  relay.moveBack();
  assert.equal((await reads.headObject(upload.objectKey))?.bytes, 10);
  assert.equal(await reads.headObject('uploads/nothing'), null);
});

test('leftovers that another storage does not know are not struck off the list', async (t) => {
  const relay = await setUp(t);
  const uploadId = await relay.create(4_000);
  await relay.patch(uploadId, 0, patternBytes(2_300));
  relay.moveAway('empty');
  await relay.relay.terminate(uploadId);
  await relay.discards.idle();
  const undone = async () =>
    Number(
      (await sql<{ n: string }>`SELECT count(*) AS n FROM discards WHERE deleted_at IS NULL`.execute(relay.database.db))
        .rows[0]?.n,
    );
  assert.ok((await undone()) > 0);
  relay.moveBack();
  relay.discards.kick();
  await relay.discards.idle();
  assert.equal(await undone(), 0);
  assert.deepEqual([...relay.storage.objects.keys()], [MARKER_KEY]);
  assert.equal(relay.storage.multiparts.size, 1);
});

test('the canary is renewed twice a day, in one turn of whichever node comes first, and leaves nothing behind', async (t) => {
  const relay = await setUp(t);
  const { catalogId } = await relay.identity.read();
  const ids = () => [...relay.storage.multiparts].filter(([, { key }]) => isCanary(key)).map(([id]) => id);
  const [first] = ids();
  await relay.canary.keep();
  assert.deepEqual(ids(), [first]);
  // One that a node had made and could not commit before it was killed.
  await relay.storage.createMultipartUpload(`uploads/.tus-relay-canary-${catalogId}`, {});
  for (let renewal = 1; renewal <= 4; renewal += 1) {
    await sql`UPDATE storage_canary SET created_at = now() - interval '13 hours'`.execute(relay.database.db);
    letMultipartsAge(relay, 13);
    await Promise.all([relay.canary.keep(), relay.canary.keep(), relay.canary.keep()]);
    // It, and the one before it: those of more than a day ago are gone.
    if (renewal > 1) assert.equal(ids().length, 2);
    assert.ok(!ids().includes(first ?? '') || renewal === 1);
  }
  await relay.canary.demand();
  assert.deepEqual(relay.changes, []);
});

function letMultipartsAge({ storage }: Relay, hours: number): void {
  for (const multipart of storage.multiparts.values()) {
    multipart.initiated = new Date(multipart.initiated.getTime() - hours * 3_600_000);
  }
}

/** Another process, which remembers nothing of the storage. */
function anotherCanary({ database, storage, identity, marker, clock }: Relay): StorageCanary {
  const catalog = new CanaryCatalog(database);
  return new StorageCanary({ storage, identity, marker, clock, catalog, keyPrefix: '', onChange: () => {} });
}

// The marker is in a replica, too, and a canary that is a day old may have been removed because of its age.
test('a replica that answers for days is not taken for our storage, by a node that starts meanwhile neither', async (t) => {
  const relay = await setUp(t);
  const uploadId = await relay.create(4_000);
  await relay.patch(uploadId, 0, patternBytes(2_300));
  relay.moveAway('replica');
  await assert.rejects(relay.canary.keep(), StorageElsewhereError);
  await sql`UPDATE storage_canary SET created_at = now() - interval '3 days'`.execute(relay.database.db);
  const started = anotherCanary(relay);
  for (const canary of [relay.canary, started]) {
    await assert.rejects(canary.keep(), StorageElsewhereError);
    await assert.rejects(canary.check(), StorageElsewhereError);
    await assert.rejects(canary.assertHere(), StorageElsewhereError);
  }
  assert.equal(relay.storage.multiparts.size, 0);
  relay.moveBack();
  await started.keep();
  assert.equal((await relay.patch(uploadId, 2_300, patternBytes(1_700))).upload.state, 'finished');
});

test('nodes that start after a day on a bucket that is not ours say so, and make no canary there', async (t) => {
  const relay = await setUp(t);
  await sql`UPDATE storage_canary SET created_at = now() - interval '3 days'`.execute(relay.database.db);
  relay.moveAway('empty');
  const started = anotherCanary(relay);
  await assert.rejects(started.keep(), /there is no marker/);
  await assert.rejects(started.assertHere(), StorageElsewhereError);
  await assert.rejects(started.check(), StorageElsewhereError);
  assert.equal(relay.storage.multiparts.size, 0);
  relay.moveBack();
  await started.keep();
  await started.assertHere();
});

test('the first canary of a catalog that has written a marker is made only where that is', async (t) => {
  const relay = await setUp(t);
  // As a version left it that knew of no canary.
  await sql`DELETE FROM storage_canary`.execute(relay.database.db);
  relay.moveAway('empty');
  await assert.rejects(anotherCanary(relay).keep(), ForeignBucketError);
  assert.equal(relay.storage.multiparts.size, 0);
  relay.moveBack();
  await anotherCanary(relay).keep();
  await relay.canary.demand();
});

test('where our credentials may not ask for the canary the node is ready, and believes nothing to be gone', async (t) => {
  const relay = await setUp(t);
  const canary = anotherCanary(relay);
  relay.storage.fate = ({ operation }) =>
    operation === 'ListParts' ? { kind: 'refuse', code: 'AccessDenied' } : { kind: 'ok' };
  await assert.rejects(canary.keep(), /AccessDenied/);
  await canary.check();
  await canary.assertHere();
  await assert.rejects(canary.demand(), /AccessDenied/);
  // Another storage that denies it is still another one.
  relay.storage.fate = () => ({ kind: 'ok' });
  relay.moveAway('replica');
  await assert.rejects(canary.check(), StorageElsewhereError);
  relay.storage.fate = () => ({ kind: 'refuse', code: 'AccessDenied' });
  await relay.letPass(3);
  await assert.rejects(canary.check(), StorageElsewhereError);
  await assert.rejects(canary.assertHere(), StorageElsewhereError);
});

test('of many requests that another storage holds up one looks whether ours is back', async (t) => {
  const relay = await setUp(t);
  relay.moveAway('empty');
  await assert.rejects(relay.canary.check(), StorageElsewhereError);
  await relay.letPass(3);
  relay.storage.forget();
  const asked = await Promise.allSettled(Array.from({ length: 50 }, () => relay.canary.assertHere()));
  assert.ok(asked.every(({ status }) => status === 'rejected'));
  assert.deepEqual(relay.storage.counts(), { ListParts: 2 });
});

// Nothing tells two copies of a catalog from each other until one of them renews the marker.
test('a clone of minutes ago that renews its canary leaves the original’s where it is', async (t) => {
  const relay = await setUp(t);
  await sql`UPDATE storage_canary SET created_at = now() - interval '13 hours'`.execute(relay.database.db);
  letMultipartsAge(relay, 13);
  const cloned = (await sql<{ id: string }>`SELECT s3_upload_id AS id FROM storage_canary`.execute(relay.database.db))
    .rows[0]?.id;
  await relay.canary.keep();
  const renew = (id: string | undefined) =>
    sql`UPDATE storage_canary SET s3_upload_id = ${id}, created_at = now() - interval '13 hours'`.execute(
      relay.database.db,
    );
  const original = (await new CanaryCatalog(relay.database).find())?.s3UploadId;
  await renew(cloned);
  await anotherCanary(relay).keep();
  await renew(original);
  await relay.canary.check();
  assert.ok(relay.storage.multiparts.has(original ?? ''));
});

test('a service that lists no multipart uploads has its canary renewed all the same', async (t) => {
  const relay = await setUp(t);
  await sql`UPDATE storage_canary SET created_at = now() - interval '13 hours'`.execute(relay.database.db);
  relay.storage.fate = ({ operation }) =>
    operation === 'ListMultipartUploads' ? { kind: 'refuse', code: 'NotImplemented' } : { kind: 'ok' };
  await relay.canary.keep();
  await relay.canary.demand();
});

test('a canary that nobody has renewed for a day says nothing when it is gone: a new one is made', async (t) => {
  const relay = await setUp(t);
  await sql`UPDATE storage_canary SET created_at = now() - interval '25 hours'`.execute(relay.database.db);
  relay.storage.multiparts.clear();
  await relay.canary.check();
  await assert.rejects(relay.canary.demand(), /not known yet/);
  await relay.canary.keep();
  await relay.canary.demand();
});

/** The original has renewed the marker since this copy of its database was made. */
async function becomeClone({ storage, identity }: Relay): Promise<void> {
  const marker = storage.objects.get(MARKER_KEY);
  assert.ok(marker);
  const { catalogId } = await identity.read();
  const later = JSON.stringify({ catalogId, generation: '11111111-1111-4111-8111-111111111111' });
  storage.objects.set(MARKER_KEY, { ...marker, bytes: Buffer.from(later) });
}

// The original's client may have gone on with the upload all the time.
test('a clone of the database neither expires uploads nor removes what the original may need', async (t) => {
  const relay = await setUp(t);
  const [expired, ended] = [await relay.create(4_000), await relay.create(4_000)];
  for (const uploadId of [expired, ended]) await relay.patch(uploadId, 0, patternBytes(2_300));
  await relay.discards.idle();
  await becomeClone(relay);
  await relay.letPass(61);
  const before = [...relay.storage.objects.keys(), ...relay.storage.multiparts.keys()];
  await relay.relay.terminate(ended);
  await relay.discards.idle();
  await sql`UPDATE uploads SET expires_at = now() - interval '1 hour' WHERE state = 'open'`.execute(relay.database.db);
  const { database, storage, end, canary } = relay;
  const expiry = new ExpiryCatalog(database, { discardRecheckSecs: 1_800 });
  const expirer = new UploadExpirer({ database, expiry, storage, end, evidence: canary });
  await assert.rejects(expirer.endBatch(10, [], {}), /renewed by a later copy of this catalog/);
  assert.equal(await relay.state(expired), 'open');
  assert.deepEqual([...relay.storage.objects.keys(), ...relay.storage.multiparts.keys()], before);
  // Whoever says that this is the one has it cleaned up.
  await relay.marker.adopt();
  relay.discards.kick();
  await relay.discards.idle();
  assert.equal((await expirer.endBatch(10, [], {})).expired, 1);
  assert.ok(relay.storage.objects.size + relay.storage.multiparts.size < before.length);
});

test('a canary that was missed and seen again may be removed for its age like any other', async (t) => {
  const relay = await setUp(t);
  relay.moveAway('replica');
  await assert.rejects(relay.canary.check(), StorageElsewhereError);
  relay.moveBack();
  await relay.canary.check();
  await sql`UPDATE storage_canary SET created_at = now() - interval '25 hours'`.execute(relay.database.db);
  relay.storage.multiparts.clear();
  await relay.canary.keep();
  await relay.canary.demand();
});

test('a clone of the database does not take the canary away from the original', async (t) => {
  const relay = await setUp(t);
  await sql`UPDATE storage_canary SET created_at = now() - interval '13 hours'`.execute(relay.database.db);
  await becomeClone(relay);
  await assert.rejects(relay.canary.keep(), ForeignBucketError);
  assert.equal(relay.storage.multiparts.size, 1);
  await relay.canary.check();
});

test('an operator who has moved to another storage says so, and what it lacks is gone', async (t) => {
  const relay = await setUp(t);
  const uploadId = await relay.create(8_000);
  await relay.patch(uploadId, 0, patternBytes(2_000));
  relay.moveAway('replica');
  await assert.rejects(relay.canary.keep(), StorageElsewhereError);
  await relay.canary.adopt();
  assert.deepEqual(relay.changes, ['StorageElsewhereError', null]);
  await assert.rejects(relay.patch(uploadId, 2_000, patternBytes(6_000)), UploadLostError);
});
