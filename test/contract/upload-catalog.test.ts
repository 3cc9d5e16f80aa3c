import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { Claim, NewUpload, UploadCatalogPort } from '../../src/catalog/upload-catalog.ts';
import { forEachTestCatalog } from '../support/test-catalog.ts';

const P = 100;

forEachTestCatalog({ uploadExpiresSecs: 60, discardRecheckSecs: 1800 }, (kind, setUp) => {
  const create = (catalog: UploadCatalogPort, wishes: Partial<NewUpload> = {}) =>
    catalog.create({
      uploadId: randomUUID(),
      owner: 'public',
      objectKey: `uploads/public/2026/01/01/${randomUUID()}`,
      protocol: 'tus',
      lengthBytes: 250,
      metadata: null,
      partBytes: P,
      state: 'open',
      writer: null,
      ...wishes,
    });
  const claimOf = (uploadId: string, offsetBytes: number, wishes: Partial<Claim> = {}): Claim => ({
    uploadId,
    offsetBytes,
    token: randomUUID(),
    freshKeyName: randomUUID(),
    declaredLengthBytes: null,
    maxParts: 10_000,
    partsAhead: 4,
    onlyAfterSilenceSecs: null,
    ...wishes,
  });
  const part = (partNumber: number) => ({ partNumber, bytes: P, etag: `"e${partNumber}"`, copyKey: null });

  test(`${kind}: a new upload starts at 0 and comes back as it was created`, async (t) => {
    const { catalog } = await setUp(t);
    const created = await create(catalog, { metadata: 'filename w7Z4,empty' });
    const found = await catalog.find(created.uploadId);
    assert.deepEqual(found, created);
    assert.equal(found?.offsetBytes, 0);
    assert.equal(found?.state, 'open');
    assert.equal(found?.metadata, 'filename w7Z4,empty');
    assert.equal(found?.overdue, false);
    assert.equal(found?.writerSilent, true, 'there is none');
    assert.equal(await catalog.find(randomUUID()), null);
  });

  test(`${kind}: lengths of five TiB keep every byte`, async (t) => {
    const { catalog } = await setUp(t);
    const { uploadId } = await create(catalog, { lengthBytes: 5 * 2 ** 40 - 1 });
    assert.equal((await catalog.find(uploadId))?.lengthBytes, 5 * 2 ** 40 - 1);
  });

  test(`${kind}: a writer that ended uncleanly keeps its token, and is not waited for`, async (t) => {
    const { catalog } = await setUp(t);
    const { uploadId } = await create(catalog);
    const old = claimOf(uploadId, 0);
    await catalog.claim(old);
    const newcomer = () => claimOf(uploadId, 0, { onlyAfterSilenceSecs: 10 });
    assert.equal(await catalog.claim(newcomer()), null);
    assert.equal((await catalog.find(uploadId))?.writerSilent, false);
    assert.equal(await catalog.resign({ uploadId, token: randomUUID() }), false);
    assert.equal(await catalog.claim(newcomer()), null);
    assert.equal(await catalog.resign({ uploadId, token: old.token }), true);
    assert.equal((await catalog.find(uploadId))?.writerSilent, true);
    const taken = await catalog.claim(newcomer());
    assert.equal(taken?.dirty, true, 'something that the old writer sent may still arrive');
    assert.equal(await catalog.resign({ uploadId, token: old.token }), false);
    assert.equal(await catalog.claim(newcomer()), null);
  });

  test(`${kind}: only the claim with the stored offset applies`, async (t) => {
    const { catalog } = await setUp(t);
    const { uploadId } = await create(catalog);
    assert.equal(await catalog.claim(claimOf(uploadId, 1)), null);
    const claim = claimOf(uploadId, 0);
    assert.equal((await catalog.claim(claim))?.writer, claim.token);
    assert.equal((await catalog.find(uploadId))?.writer, claim.token);
  });

  test(`${kind}: a first claim contests nothing and keeps its key`, async (t) => {
    const { catalog, discards } = await setUp(t);
    const { uploadId, objectKey } = await create(catalog);
    const claimed = await catalog.claim(claimOf(uploadId, 0));
    assert.equal(claimed?.dirty, false);
    assert.equal(claimed?.contestedTo, 0);
    assert.equal(claimed?.objectKey, objectKey);
    assert.deepEqual(await discards.findUndone(10), []);
  });

  test(`${kind}: a takeover before the multipart upload takes a fresh key and discards the old one`, async (t) => {
    const { catalog, discards, letTimePass } = await setUp(t);
    const { uploadId, objectKey } = await create(catalog);
    await catalog.claim(claimOf(uploadId, 0));
    const takeover = claimOf(uploadId, 0);
    const claimed = await catalog.claim(takeover);
    assert.equal(claimed?.dirty, true);
    assert.equal(claimed?.objectKey, objectKey.replace(/[^/]+$/, takeover.freshKeyName));
    const [discard] = await discards.findUndone(10);
    assert.equal(discard?.objectKey, objectKey);
    await discards.settleDeleted([discard?.discardId ?? 0]);
    assert.deepEqual(await discards.findDueForRecheck(10), []);
    await letTimePass(1801);
    assert.equal((await discards.findDueForRecheck(10))[0]?.objectKey, objectKey);
  });

  test(`${kind}: a takeover with a multipart upload keeps the key and contests what may have been sent`, async (t) => {
    const { catalog, discards } = await setUp(t);
    const { uploadId, objectKey } = await create(catalog, { lengthBytes: 5000 });
    const first = claimOf(uploadId, 0);
    await catalog.claim(first);
    await catalog.commitMultipart({ uploadId, token: first.token, s3UploadId: 'mpu', sentUpTo: 4 });
    const step = { uploadId, token: first.token, fromBytes: 0, toBytes: P };
    await catalog.commitPart({ ...step, part: part(1), sentUpTo: 5, detectedType: 'image/png' });
    const claimed = await catalog.claim(claimOf(uploadId, P));
    assert.equal(claimed?.objectKey, objectKey);
    assert.equal(claimed?.contestedTo, 5);
    assert.equal(claimed?.sentUpTo, 5);
    assert.equal(claimed?.dirty, true);
    assert.equal(claimed?.detectedType, 'image/png');
    assert.deepEqual(await discards.findUndone(10), []);
  });

  test(`${kind}: without a common lock only a writer that has been silent is taken over`, async (t) => {
    const { catalog } = await setUp(t);
    const { uploadId } = await create(catalog, { lengthBytes: 5000 });
    assert.notEqual(await catalog.claim(claimOf(uploadId, 0, { onlyAfterSilenceSecs: 10 })), null);
    assert.equal(await catalog.claim(claimOf(uploadId, 0, { onlyAfterSilenceSecs: 10 })), null);
    const taken = await catalog.claim(claimOf(uploadId, 0, { onlyAfterSilenceSecs: 0 }));
    assert.equal(taken?.dirty, true);
  });

  test(`${kind}: a fenced writer’s commits do not apply and leave no trace`, async (t) => {
    const { catalog, database } = await setUp(t);
    const { uploadId } = await create(catalog, { lengthBytes: 5000 });
    const old = claimOf(uploadId, 0);
    await catalog.claim(old);
    await catalog.commitMultipart({ uploadId, token: old.token, s3UploadId: 'mpu', sentUpTo: 4 });
    await catalog.claim(claimOf(uploadId, 0));
    const step = { uploadId, token: old.token, fromBytes: 0, toBytes: P };
    assert.equal(await catalog.commitPart({ ...step, part: part(1), sentUpTo: 5, detectedType: null }), false);
    const segment = { sequence: 1, objectKey: 'k', bytes: 10 };
    assert.equal(
      await catalog.commitTail({ ...step, toBytes: 10, segment, replacesFrom: null, cleanEnd: true }),
      false,
    );
    assert.equal(await catalog.release({ uploadId, token: old.token }), false);
    assert.equal(await catalog.look(uploadId, old.token), false);
    const last = { ...step, toBytes: 5000, unclean: false, detectedType: null };
    assert.equal(await database.transaction((trx) => catalog.commitLast(trx, { ...last, part: part(1) })), false);
    assert.equal(await database.transaction((trx) => catalog.finishSingle(trx, { ...last, file: null })), null);
    assert.deepEqual(await catalog.findParts(uploadId), []);
    assert.deepEqual(await catalog.findTail(uploadId), []);
    assert.equal((await catalog.find(uploadId))?.offsetBytes, 0);
  });

  test(`${kind}: a commit from another offset than the stored one does not apply`, async (t) => {
    const { catalog } = await setUp(t);
    const { uploadId } = await create(catalog, { lengthBytes: 5000 });
    const claim = claimOf(uploadId, 0);
    await catalog.claim(claim);
    await catalog.commitMultipart({ uploadId, token: claim.token, s3UploadId: 'mpu', sentUpTo: 4 });
    const step = { uploadId, token: claim.token, fromBytes: P, toBytes: 2 * P };
    assert.equal(await catalog.commitPart({ ...step, part: part(2), sentUpTo: 6, detectedType: null }), false);
  });

  test(`${kind}: a tail grows by segments, and leaves with the part that takes it up`, async (t) => {
    const { catalog, discards } = await setUp(t);
    const { uploadId } = await create(catalog);
    for (const sequence of [1, 2]) {
      const claim = claimOf(uploadId, (sequence - 1) * 10);
      assert.equal((await catalog.claim(claim))?.dirty, false);
      const segment = { sequence, objectKey: `tail/${sequence}`, bytes: 10 };
      const step = { uploadId, token: claim.token, fromBytes: (sequence - 1) * 10, toBytes: sequence * 10 };
      assert.equal(await catalog.commitTail({ ...step, segment, replacesFrom: null, cleanEnd: true }), true);
    }
    assert.deepEqual(
      (await catalog.findTail(uploadId)).map((it) => it.objectKey),
      ['tail/1', 'tail/2'],
    );
    const claim = claimOf(uploadId, 20);
    await catalog.claim(claim);
    await catalog.commitMultipart({ uploadId, token: claim.token, s3UploadId: 'mpu', sentUpTo: 4 });
    assert.deepEqual(await discards.findUndone(10), []);
    const step = { uploadId, token: claim.token, fromBytes: 20, toBytes: P };
    assert.equal(await catalog.commitPart({ ...step, part: part(1), sentUpTo: 5, detectedType: null }), true);
    assert.deepEqual(await catalog.findTail(uploadId), []);
    const undone = await discards.findUndone(10);
    assert.deepEqual(undone.map((it) => it.objectKey).sort(), ['tail/1', 'tail/2']);
    // Nothing was in doubt: once deleted, they are gone for good.
    await discards.settleDeleted(undone.map((it) => it.discardId));
    assert.deepEqual(await discards.findUndone(10), []);
    assert.deepEqual(await discards.findDueForRecheck(10), []);
  });

  for (const [what, replacesFrom, left, gone] of [
    ['the last two', 2, ['tail/1', 'merged'], ['tail/2', 'tail/3']],
    ['the whole tail', 1, ['merged'], ['tail/1', 'tail/2', 'tail/3']],
    ['nothing', null, ['tail/1', 'tail/2', 'tail/3', 'merged'], []],
  ] as const) {
    test(`${kind}: a segment that replaces ${what} discards exactly that, and follows what is left`, async (t) => {
      const { catalog, discards } = await setUp(t);
      const { uploadId } = await create(catalog);
      const other = await create(catalog);
      for (const id of [uploadId, other.uploadId]) {
        const claim = claimOf(id, 0);
        await catalog.claim(claim);
        for (const sequence of [1, 2, 3]) {
          const name = id === uploadId ? 'tail' : 'other';
          const segment = { sequence, objectKey: `${name}/${sequence}`, bytes: 10 };
          await catalog.commitTail({
            ...{ uploadId: id, token: claim.token, fromBytes: 10 * (sequence - 1), toBytes: 10 * sequence },
            ...{ segment, replacesFrom: null, cleanEnd: sequence === 3 },
          });
        }
      }
      const claim = claimOf(uploadId, 30);
      await catalog.claim(claim);
      const segment = { sequence: 4, objectKey: 'merged', bytes: 15 };
      const step = { uploadId, fromBytes: 30, toBytes: 35, segment, replacesFrom, cleanEnd: true };
      assert.equal(await catalog.commitTail({ ...step, token: randomUUID() }), false);
      assert.equal((await catalog.findTail(uploadId)).length, 3, 'a commit that does not apply replaces nothing');
      assert.equal(await catalog.commitTail({ ...step, token: claim.token }), true);
      assert.deepEqual(
        (await catalog.findTail(uploadId)).map((it) => it.objectKey),
        left,
      );
      assert.deepEqual((await discards.findUndone(10)).map((it) => it.objectKey).sort(), gone);
      assert.deepEqual(
        (await catalog.findTail(other.uploadId)).map((it) => it.objectKey),
        ['other/1', 'other/2', 'other/3'],
      );
      assert.equal((await catalog.find(uploadId))?.offsetBytes, 35);
    });
  }

  test(`${kind}: a clean end lets go and takes back what may have been sent; an unclean one keeps both`, async (t) => {
    const { catalog } = await setUp(t);
    const { uploadId } = await create(catalog, { lengthBytes: 5000 });
    const claim = claimOf(uploadId, 0);
    await catalog.claim(claim);
    await catalog.commitMultipart({ uploadId, token: claim.token, s3UploadId: 'mpu', sentUpTo: 4 });
    assert.equal(await catalog.release({ uploadId, token: claim.token }), true);
    const released = await catalog.find(uploadId);
    assert.equal(released?.writer, null);
    assert.equal(released?.sentUpTo, 0);
    const again = claimOf(uploadId, 0);
    const claimed = await catalog.claim(again);
    assert.equal(claimed?.dirty, false);
    assert.equal(claimed?.sentUpTo, 4);
    const segment = { sequence: 1, objectKey: 'k', bytes: 7 };
    const step = { uploadId, token: again.token, fromBytes: 0, toBytes: 7 };
    await catalog.commitTail({ ...step, segment, replacesFrom: null, cleanEnd: false });
    const unclean = await catalog.find(uploadId);
    assert.equal(unclean?.writer, again.token);
    assert.equal(unclean?.sentUpTo, 4);
  });

  test(`${kind}: a deferred length is declared once, and only where it fits`, async (t) => {
    const { catalog } = await setUp(t);
    const { uploadId } = await create(catalog, { lengthBytes: null });
    const tooLong = claimOf(uploadId, 0, { declaredLengthBytes: 1001, maxParts: 10 });
    assert.equal(await catalog.claim(tooLong), null);
    const claim = claimOf(uploadId, 0, { declaredLengthBytes: 1000, maxParts: 10 });
    assert.equal((await catalog.claim(claim))?.lengthBytes, 1000);
    await catalog.release({ uploadId, token: claim.token });
    assert.equal(await catalog.claim(claimOf(uploadId, 0, { declaredLengthBytes: 999 })), null);
    assert.equal((await catalog.claim(claimOf(uploadId, 0, { declaredLengthBytes: 1000 })))?.lengthBytes, 1000);
  });

  test(`${kind}: the last part takes the upload to completing, the finish happens once`, async (t) => {
    const { catalog, database, discards } = await setUp(t);
    const { uploadId } = await create(catalog, { lengthBytes: 150 });
    const claim = claimOf(uploadId, 0);
    await catalog.claim(claim);
    await catalog.commitMultipart({ uploadId, token: claim.token, s3UploadId: 'mpu', sentUpTo: 4 });
    const step = { uploadId, token: claim.token, fromBytes: 0, toBytes: P };
    await catalog.commitPart({ ...step, part: part(1), sentUpTo: 5, detectedType: null });
    const last = { ...step, fromBytes: P, toBytes: 150, unclean: false, detectedType: null };
    assert.equal(
      await database.transaction((trx) => catalog.commitLast(trx, { ...last, part: { ...part(2), bytes: 50 } })),
      true,
    );
    const completing = await catalog.find(uploadId);
    assert.equal(completing?.state, 'completing');
    assert.equal(completing?.writer, null);
    assert.deepEqual(
      (await catalog.findParts(uploadId)).map((it) => it.bytes),
      [100, 50],
    );
    const finish = () => database.transaction((trx) => catalog.finishCompleting(trx, uploadId, false));
    assert.equal((await finish())?.state, 'finished');
    assert.equal(await finish(), null);
    assert.deepEqual(await catalog.findParts(uploadId), []);
    assert.deepEqual(await discards.findUndone(10), []);
  });

  test(`${kind}: a finish leaves the copies of parts to the discards, and a dirty upload's key to a sweep`, async (t) => {
    const { catalog, database, discards } = await setUp(t);
    const { uploadId, objectKey } = await create(catalog, { lengthBytes: 50 });
    const claim = claimOf(uploadId, 0);
    await catalog.claim(claim);
    await catalog.commitMultipart({ uploadId, token: claim.token, s3UploadId: 'mpu', sentUpTo: 4 });
    const last = { uploadId, token: claim.token, fromBytes: 0, toBytes: 50, unclean: false, detectedType: null };
    const copied = { ...part(1), bytes: 50, copyKey: 'a-copy' };
    await database.transaction((trx) => catalog.commitLast(trx, { ...last, part: copied }));
    await database.transaction((trx) => catalog.finishCompleting(trx, uploadId, true));
    assert.deepEqual(
      (await discards.findUndone(10)).map((it) => [it.objectKey, it.scope, it.s3UploadId]).sort(),
      [
        ['a-copy', 'object', null],
        [objectKey, 'leftovers', null],
      ].sort(),
    );
  });

  test(`${kind}: a single object goes from open to finished in one commit`, async (t) => {
    const { catalog, database } = await setUp(t);
    const { uploadId } = await create(catalog, { lengthBytes: 42 });
    const claim = claimOf(uploadId, 0);
    await catalog.claim(claim);
    const step = { uploadId, token: claim.token, fromBytes: 0, toBytes: 42, unclean: true, detectedType: 'text/plain' };
    const finished = await database.transaction((trx) => catalog.finishSingle(trx, { ...step, file: null }));
    assert.equal(finished?.state, 'finished');
    assert.equal(finished?.offsetBytes, 42);
    assert.equal(finished?.dirty, true);
    assert.equal(finished?.writer, null);
    assert.equal(await database.transaction((trx) => catalog.finishSingle(trx, { ...step, file: null })), null);
  });

  test(`${kind}: a file without jobs is recorded by the statement that finishes its upload, or not at all`, async (t) => {
    const { catalog, database } = await setUp(t);
    const { uploadId, objectKey, owner } = await create(catalog, { lengthBytes: 42 });
    const claim = claimOf(uploadId, 0);
    await catalog.claim(claim);
    const file = {
      ...{ fileId: uploadId, owner, objectKey, bytes: 42, declaredType: null, detectedType: null },
      ...{ fileName: 'a.txt', thumbnailsPending: false },
    };
    const step = { uploadId, token: claim.token, fromBytes: 0, toBytes: 42, unclean: false, detectedType: null, file };
    assert.equal(await catalog.finishSingle(database.db, { ...step, token: randomUUID() }), null);
    assert.equal((await catalog.finishSingle(database.db, step))?.state, 'finished');
    // The second record that would show if the first had come with the refused statement.
    assert.equal(await catalog.finishSingle(database.db, step), null);
    assert.deepEqual(await catalog.terminate(uploadId), { uploadId, state: 'terminated', hadFile: true });
  });

  test(`${kind}: every end without a file is told, once, with how it ended`, async (t) => {
    const { catalog, database, ended, expiry, letTimePass } = await setUp(t);
    const completing = async () => {
      const { uploadId } = await create(catalog, { lengthBytes: P });
      const claim = claimOf(uploadId, 0);
      await catalog.claim(claim);
      await catalog.commitMultipart({ uploadId, token: claim.token, s3UploadId: 'mpu', sentUpTo: 1 });
      const step = { uploadId, token: claim.token, fromBytes: 0, toBytes: P, part: part(1), unclean: false };
      await database.transaction((trx) => catalog.commitLast(trx, { ...step, detectedType: null }));
      return uploadId;
    };
    const expected: unknown[] = [];
    const expect = (uploadId: string, state: string) => {
      expected.push({ uploadId, state, hadFile: false });
      assert.deepEqual(ended, expected);
    };
    const [lost, failed] = [await completing(), await completing()];
    for (const uploadId of [lost, lost]) await catalog.giveUpCompleting(uploadId, 'lost');
    expect(lost, 'lost');
    await catalog.giveUpCompleting(failed, 'failed');
    expect(failed, 'failed');

    const removed = await create(catalog);
    const claim = claimOf(removed.uploadId, 0);
    await catalog.claim(claim);
    assert.equal(await catalog.giveUpOpen({ uploadId: removed.uploadId, token: randomUUID() }), false);
    assert.equal(await catalog.giveUpOpen({ uploadId: removed.uploadId, token: claim.token }), true);
    expect(removed.uploadId, 'lost');

    const cancelled = await create(catalog);
    await catalog.terminate(cancelled.uploadId);
    await catalog.terminate(cancelled.uploadId);
    expect(cancelled.uploadId, 'terminated');

    const forgotten = await create(catalog);
    await letTimePass(61);
    await expiry.expire([forgotten, cancelled]);
    await expiry.expire([forgotten]);
    expect(forgotten.uploadId, 'expired');
  });

  test(`${kind}: terminating discards everything that the upload has in the bucket, once`, async (t) => {
    const { catalog, discards } = await setUp(t);
    const { uploadId, objectKey } = await create(catalog, { lengthBytes: 5000 });
    const claim = claimOf(uploadId, 0);
    await catalog.claim(claim);
    await catalog.commitMultipart({ uploadId, token: claim.token, s3UploadId: 'mpu', sentUpTo: 4 });
    const step = { uploadId, token: claim.token, fromBytes: 0, toBytes: P };
    const copied = { ...part(1), copyKey: 'a-copy' };
    await catalog.commitPart({ ...step, part: copied, sentUpTo: 5, detectedType: null });
    const segment = { sequence: 1, objectKey: 'a-segment', bytes: 5 };
    await catalog.commitTail({
      ...{ ...step, fromBytes: P, toBytes: P + 5 },
      ...{ segment, replacesFrom: null, cleanEnd: true },
    });
    assert.deepEqual(await catalog.terminate(uploadId), { uploadId, state: 'terminated', hadFile: false });
    assert.equal(await catalog.terminate(uploadId), null);
    const undone = await discards.findUndone(10);
    assert.deepEqual(
      undone.map((it) => [it.objectKey, it.s3UploadId]).sort(),
      [
        ['a-copy', null],
        ['a-segment', null],
        [objectKey, 'mpu'],
      ].sort(),
    );
    assert.equal((await catalog.find(uploadId))?.state, 'terminated');
    assert.equal(await catalog.claim(claimOf(uploadId, P + 5)), null);
  });

  test(`${kind}: what a running writer may still send is looked at once more`, async (t) => {
    const { catalog, discards, letTimePass } = await setUp(t);
    const { uploadId } = await create(catalog);
    await catalog.claim(claimOf(uploadId, 0));
    await catalog.terminate(uploadId);
    const undone = await discards.findUndone(10);
    assert.equal(undone.length, 1);
    await discards.settleDeleted(undone.map((it) => it.discardId));
    assert.deepEqual(await discards.findUndone(10), []);
    assert.deepEqual(await discards.findDueForRecheck(10), []);
    await letTimePass(1801);
    const due = await discards.findDueForRecheck(10);
    assert.equal(due.length, 1);
    await discards.drop(due.map((it) => it.discardId));
    assert.deepEqual(await discards.findDueForRecheck(10), []);
  });

  test(`${kind}: only open uploads whose time is over are overdue, and nobody writes to them`, async (t) => {
    const { catalog, database, letTimePass } = await setUp(t);
    const overdue = await create(catalog);
    const finished = await create(catalog, { lengthBytes: 1 });
    const claim = claimOf(finished.uploadId, 0);
    await catalog.claim(claim);
    const step = { uploadId: finished.uploadId, token: claim.token, fromBytes: 0, toBytes: 1 };
    await database.transaction((trx) =>
      catalog.finishSingle(trx, { ...step, unclean: false, detectedType: null, file: null }),
    );
    await letTimePass(61);
    const fresh = await create(catalog);
    assert.equal((await catalog.find(overdue.uploadId))?.overdue, true);
    assert.equal((await catalog.find(finished.uploadId))?.overdue, false);
    assert.equal(await catalog.claim(claimOf(overdue.uploadId, 0)), null);
    assert.equal((await catalog.find(fresh.uploadId))?.overdue, false);
  });

  test(`${kind}: a writer that only waits for bytes keeps its upload from expiring`, async (t) => {
    const { catalog, letTimePass } = await setUp(t);
    const { uploadId } = await create(catalog);
    const claim = claimOf(uploadId, 0);
    await catalog.claim(claim);
    await letTimePass(59);
    assert.equal(await catalog.look(uploadId, claim.token), true);
    const { expiresAt } = (await catalog.find(uploadId)) as { expiresAt: Date };
    assert.ok(expiresAt.getTime() > Date.now() + 30_000);
  });

  test(`${kind}: of many claims at one time exactly one holds the row in the end, and all but the first are takeovers`, async (t) => {
    const { catalog } = await setUp(t);
    const { uploadId } = await create(catalog);
    const claims = Array.from({ length: 8 }, () => claimOf(uploadId, 0));
    const claimed = await Promise.all(claims.map((claim) => catalog.claim(claim)));
    assert.equal(claimed.filter((row) => row?.dirty === false).length, 1);
    assert.equal(new Set(claimed.map((row) => row?.objectKey)).size, 8);
    const row = await catalog.find(uploadId);
    const winner = claims.find((claim) => claim.token === row?.writer);
    const step = { uploadId, token: winner?.token ?? '', fromBytes: 0, toBytes: 5 };
    const segment = { sequence: 1, objectKey: 'k', bytes: 5 };
    for (const claim of claims) {
      const applied = await catalog.commitTail({
        ...{ ...step, token: claim.token },
        ...{ segment, replacesFrom: null, cleanEnd: false },
      });
      assert.equal(applied, claim === winner);
    }
  });

  test(`${kind}: a completion that nobody carries on is found after a minute`, async (t) => {
    const { catalog, letTimePass } = await setUp(t);
    const { uploadId } = await create(catalog, { lengthBytes: 0, state: 'completing' });
    assert.deepEqual(await catalog.findStuckCompletions(10), []);
    await letTimePass(120);
    assert.deepEqual(await catalog.findStuckCompletions(10), [uploadId]);
    assert.equal(await catalog.giveUpCompleting(uploadId, 'lost'), true);
    assert.deepEqual(await catalog.findStuckCompletions(10), []);
  });
});
