import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { UploadRecord } from '../../src/catalog/upload-record.ts';
import { forEachTestCatalog, type TestCatalog } from '../support/test-catalog.ts';

const P = 100;

async function create({ catalog }: TestCatalog, lengthBytes: number | null = 250): Promise<UploadRecord> {
  return catalog.create({
    ...{ uploadId: randomUUID(), owner: 'public', objectKey: `uploads/public/2026/01/01/${randomUUID()}` },
    ...{ protocol: 'tus', lengthBytes, metadata: null, partBytes: P, state: 'open', writer: null },
  });
}

function claim({ catalog }: TestCatalog, uploadId: string, token: string, offsetBytes = 0) {
  return catalog.claim({
    ...{ uploadId, offsetBytes, token, freshKeyName: randomUUID(), declaredLengthBytes: null },
    ...{ maxParts: 10_000, partsAhead: 4, onlyAfterSilenceSecs: null },
  });
}

/** One part and a segment behind it; the part's bytes have a copy. */
async function createWithPieces(setup: TestCatalog): Promise<{ upload: UploadRecord; token: string }> {
  const { catalog } = setup;
  const { uploadId, objectKey } = await create(setup);
  const token = randomUUID();
  await claim(setup, uploadId, token);
  await catalog.commitMultipart({ uploadId, token, s3UploadId: 'mpu', sentUpTo: 4 });
  await catalog.commitPart({
    ...{ uploadId, token, fromBytes: 0, toBytes: P, sentUpTo: 4, detectedType: null },
    part: { partNumber: 1, bytes: P, etag: '"e1"', copyKey: `${objectKey}.copy` },
  });
  await catalog.commitTail({
    ...{ uploadId, token, fromBytes: P, toBytes: P + 20, replacesFrom: null, cleanEnd: true },
    segment: { sequence: 1, objectKey: `${objectKey}.tail`, bytes: 20 },
  });
  return { upload: (await catalog.find(uploadId)) as UploadRecord, token };
}

async function leftBehind({ discards, catalog }: TestCatalog, { uploadId, objectKey }: UploadRecord) {
  assert.deepEqual(await catalog.findParts(uploadId), []);
  assert.deepEqual(await catalog.findTail(uploadId), []);
  const found = (await discards.findUndone(100)).filter((discard) => discard.uploadId === uploadId);
  return found
    .map((it) => `${it.objectKey.slice(objectKey.length) || 'object'} ${it.scope} ${it.s3UploadId ?? '-'}`)
    .sort();
}

forEachTestCatalog({ uploadExpiresSecs: 60, discardRecheckSecs: 1800 }, (kind, setUp) => {
  test(`${kind}: only open uploads whose time is over are overdue, the longest waiting first`, async (t) => {
    const setup = await setUp(t);
    const first = await create(setup);
    await setup.letTimePass(30);
    const second = await create(setup, null);
    const finished = await create(setup, 1);
    const token = randomUUID();
    await claim(setup, finished.uploadId, token);
    await setup.catalog.finishSingle(setup.database.db, {
      ...{ uploadId: finished.uploadId, token, fromBytes: 0, toBytes: 1, unclean: false, detectedType: null },
      file: null,
    });
    await setup.letTimePass(61);
    await create(setup);
    const ids = async (limit: number, except: string[]) =>
      (await setup.expiry.findOverdue(limit, except)).map((it) => it.uploadId);
    assert.deepEqual(await ids(10, []), [first.uploadId, second.uploadId]);
    assert.deepEqual(await ids(1, []), [first.uploadId]);
    assert.deepEqual(await ids(1, [first.uploadId]), [second.uploadId]);
  });

  test(`${kind}: what expires leaves all that it has in S3 to be removed; without late requests it is named`, async (t) => {
    const setup = await setUp(t);
    const { upload } = await createWithPieces(setup);
    await setup.letTimePass(61);
    const clean = await create(setup);
    await setup.letTimePass(61);
    assert.equal(await setup.expiry.expire([upload, clean]), 2);
    assert.equal((await setup.catalog.find(upload.uploadId))?.state, 'expired');
    assert.deepEqual(await leftBehind(setup, upload), ['.copy object -', '.tail object -', 'object object mpu']);
    assert.deepEqual(await leftBehind(setup, clean), ['object object -']);
    await setup.discards.settleDeleted((await setup.discards.findUndone(100)).map((it) => it.discardId));
    await setup.letTimePass(1801);
    assert.deepEqual(await setup.discards.findDueForRecheck(10), []);
  });

  test(`${kind}: where a writer may still be sending, the key is swept, and once more at the recheck`, async (t) => {
    const setup = await setUp(t);
    const { upload } = await createWithPieces(setup);
    await claim(setup, upload.uploadId, randomUUID(), P + 20);
    await setup.letTimePass(61);
    assert.equal(await setup.expiry.expire([upload]), 1);
    assert.deepEqual(await leftBehind(setup, upload), ['.copy object -', '.tail object -', 'object key mpu']);
    await setup.discards.settleDeleted((await setup.discards.findUndone(100)).map((it) => it.discardId));
    await setup.letTimePass(1801);
    assert.equal((await setup.discards.findDueForRecheck(10)).length, 3);
  });

  test(`${kind}: an upload that went on, ended, or took another key while it was looked at is left alone`, async (t) => {
    const setup = await setUp(t);
    const [gone, alive] = [await create(setup), await create(setup)];
    const token = randomUUID();
    await claim(setup, alive.uploadId, token);
    await setup.letTimePass(61);
    await setup.catalog.terminate(gone.uploadId);
    assert.equal(await setup.catalog.look(alive.uploadId, token), true);
    const moved = { uploadId: gone.uploadId, objectKey: 'another' };
    const whole = { bytes: 250, detectedType: null };
    for (const seen of [gone, alive, moved]) {
      assert.equal(await setup.expiry.expire([seen]), 0);
      assert.equal(await setup.database.transaction((trx) => setup.expiry.adopt(trx, seen, whole)), null);
    }
    const late = await create(setup);
    await setup.letTimePass(61);
    assert.equal(await setup.expiry.expire([{ ...late, objectKey: 'another' }]), 0);
    assert.equal(await setup.expiry.expire([]), 0);
  });

  test(`${kind}: an adopted upload is finished, once, and keeps nothing but its object`, async (t) => {
    const setup = await setUp(t);
    const { upload, token } = await createWithPieces(setup);
    await setup.letTimePass(61);
    const adopt = () =>
      setup.database.transaction((trx) => setup.expiry.adopt(trx, upload, { bytes: 250, detectedType: 'image/png' }));
    const adopted = await adopt();
    assert.deepEqual(adopted, await setup.catalog.find(upload.uploadId));
    assert.deepEqual(
      [adopted?.state, adopted?.offsetBytes, adopted?.lengthBytes, adopted?.detectedType, adopted?.dirty],
      ['finished', 250, 250, 'image/png', true],
    );
    assert.equal(await adopt(), null);
    assert.equal(await setup.expiry.expire([upload]), 0);
    assert.equal(await setup.catalog.look(upload.uploadId, token), false);
    assert.deepEqual(await leftBehind(setup, upload), ['.copy object -', '.tail object -', 'object leftovers mpu']);
    await setup.discards.settleDeleted((await setup.discards.findUndone(100)).map((it) => it.discardId));
    await setup.letTimePass(1801);
    assert.equal((await setup.discards.findDueForRecheck(10)).length, 3);
  });
});
