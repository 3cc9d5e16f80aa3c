import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { sql } from 'kysely';
import { CatalogIdentityStore } from '../../src/catalog/catalog-identity.ts';
import { DiscardCatalog } from '../../src/catalog/discard-catalog.ts';
import { type ListedObject, SweepCatalog } from '../../src/catalog/sweep-catalog.ts';
import { UploadCatalog } from '../../src/catalog/upload-catalog.ts';
import { forEachTestDatabase } from '../support/test-database.ts';

forEachTestDatabase((kind, open) => {
  const setUp = async (t: TestContext) => {
    const database = await open(t);
    return {
      database,
      sweeps: new SweepCatalog(database),
      discards: new DiscardCatalog(database),
      uploads: new UploadCatalog(database, { uploadExpiresSecs: 60, discardRecheckSecs: 1800 }),
    };
  };
  const create = (uploads: UploadCatalog, objectKey: string) =>
    uploads.create({
      ...{ uploadId: randomUUID(), owner: 'public', objectKey, protocol: 'tus', lengthBytes: 250, metadata: null },
      ...{ partBytes: 100, state: 'open', writer: null },
    });
  const listed = (baseKey: string, suffix: '' | `.tail/${string}/1`): ListedObject => ({
    objectKey: `${baseKey}${suffix}`,
    baseKey,
    kind: suffix === '' ? 'object' : 'tail',
    token: suffix === '' ? null : (suffix.split('/')[1] ?? null),
    keyId: randomUUID(),
    owner: 'public',
  });

  test(`${kind}: objects that no row names become discards, each once`, async (t) => {
    const { sweeps, discards, uploads } = await setUp(t);
    const known = await create(uploads, `uploads/${randomUUID()}`);
    const unknown = [listed('uploads/nobody', ''), listed(known.objectKey, `.tail/${randomUUID()}/1`)];
    const all = [listed(known.objectKey, ''), ...unknown];
    const keys = unknown.map((it) => it.objectKey).sort();
    assert.deepEqual((await sweeps.findUnknownObjects(all)).sort(), keys);
    assert.deepEqual((await sweeps.discardUnknownObjects(all)).sort(), keys);
    assert.deepEqual(await sweeps.discardUnknownObjects(all), [], 'they are on their way already');
    const undone = await discards.findUndone(10);
    assert.deepEqual(undone.map((it) => it.objectKey).sort(), keys);
    assert.ok(undone.every((it) => it.scope === 'object' && it.s3UploadId === null));
    assert.deepEqual(await sweeps.findUnknownObjects([]), []);
  });

  test(`${kind}: multipart uploads that no row names become discards of themselves alone`, async (t) => {
    const { sweeps, discards, uploads } = await setUp(t);
    const { objectKey } = await create(uploads, `uploads/${randomUUID()}`);
    const lost = { objectKey, s3UploadId: 'lost', keyId: randomUUID() };
    assert.deepEqual(await sweeps.findUnknownMultiparts([lost]), ['lost']);
    assert.deepEqual(await sweeps.discardUnknownMultiparts([lost]), ['lost']);
    assert.deepEqual(await sweeps.discardUnknownMultiparts([lost]), []);
    const [discard] = await discards.findUndone(10);
    assert.deepEqual([discard?.scope, discard?.s3UploadId], ['multipart', 'lost']);
  });

  test(`${kind}: ended uploads are purged after a week, oldest first, at most as many as asked for`, async (t) => {
    const { database, sweeps, discards, uploads } = await setUp(t);
    const ids: string[] = [];
    for (const days of [9, 8, 6]) {
      const { uploadId } = await create(uploads, `uploads/${randomUUID()}`);
      ids.push(uploadId);
      await uploads.terminate(uploadId);
      await sql`UPDATE uploads SET ended_at = now() - make_interval(days => ${days}) WHERE id = ${uploadId}`.execute(
        database.db,
      );
    }
    assert.equal((await sweeps.countDue()).removed, 3);
    assert.equal(await sweeps.purgeEnded(10), 0, 'their discards are not done');
    await discards.drop((await discards.findUndone(10)).map((it) => it.discardId));
    assert.equal((await sweeps.countDue()).purged, 2);
    assert.equal(await sweeps.purgeEnded(1), 1);
    assert.deepEqual(await Promise.all(ids.map(async (id) => (await uploads.find(id)) === null)), [true, false, false]);
    assert.equal(await sweeps.purgeEnded(10), 1);
    assert.equal(await sweeps.purgeEnded(10), 0);
  });

  test(`${kind}: stuck completions come page by page`, async (t) => {
    const { database, sweeps, uploads } = await setUp(t);
    for (let i = 0; i < 3; i += 1) await create(uploads, `uploads/${randomUUID()}`);
    await sql`UPDATE uploads SET state = 'completing', created_at = now() - interval '2 minutes'`.execute(database.db);
    const first = await sweeps.findStuckCompletions(2, null);
    const rest = await sweeps.findStuckCompletions(2, first.at(-1) ?? null);
    assert.deepEqual([first.length, rest.length], [2, 1]);
    assert.equal(new Set([...first, ...rest]).size, 3);
  });

  test(`${kind}: the catalog has one identity, and a rotation that is taken up again is the same`, async (t) => {
    const { database } = await setUp(t);
    const identity = new CatalogIdentityStore(database, 3_600);
    const [first, again] = await Promise.all([identity.read(), identity.read()]);
    assert.equal(first.catalogId, again.catalogId);
    assert.deepEqual([first.generation, first.pending, first.rotationDue], [null, null, true]);
    const generation = await identity.beginRotation();
    assert.equal(await identity.beginRotation(), generation);
    assert.equal((await identity.read()).pending, generation);
    await identity.settleRotation(generation);
    await identity.settleRotation(generation);
    const settled = await identity.read();
    assert.deepEqual([settled.generation, settled.pending, settled.rotationDue], [generation, null, false]);
    assert.equal((await new CatalogIdentityStore(database, 0).read()).rotationDue, true);
  });
});
