import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { sql } from 'kysely';
import { DiscardCatalog } from '../../src/catalog/discard-catalog.ts';
import { forEachTestDatabase } from '../support/test-database.ts';

forEachTestDatabase((kind, open) => {
  const setUp = async (t: TestContext) => {
    const database = await open(t);
    const discards = new DiscardCatalog(database);
    const uploadId = randomUUID();
    return {
      database,
      discards,
      uploadId,
      /** @param recheckInSecs null: nothing can bring it back */
      async add(objectKey: string, recheckInSecs: number | null = null, s3UploadId: string | null = null) {
        await sql`
          INSERT INTO discards (upload_id, object_key, s3_upload_id, recheck_at) VALUES (${uploadId}, ${objectKey},
            ${s3UploadId}, now() + make_interval(secs => ${recheckInSecs}))`.execute(database.db);
      },
      letTimePass: (secs: number) =>
        sql`UPDATE discards SET recheck_at = recheck_at - make_interval(secs => ${secs})`.execute(database.db),
      undone: async () => (await discards.findUndone(100)).map((it) => it.objectKey),
      due: async () => (await discards.findDueForRecheck(100)).map((it) => it.objectKey),
      rows: async () =>
        Number((await sql<{ n: number }>`SELECT count(*) AS n FROM discards`.execute(database.db)).rows[0]?.n),
    };
  };

  test(`${kind}: discards come oldest first, no more than asked for, with all that removing them needs`, async (t) => {
    const { discards, uploadId, add } = await setUp(t);
    await add('b');
    await add('a', null, 'multipart');
    await add('c');
    const found = await discards.findUndone(2);
    assert.deepEqual(
      found.map((it) => [it.objectKey, it.s3UploadId, it.uploadId, it.scope]),
      [
        ['b', null, uploadId, 'object'],
        ['a', 'multipart', uploadId, 'object'],
      ],
    );
    assert.equal(typeof found[0]?.discardId, 'number');
  });

  test(`${kind}: what nothing can bring back is dropped when it is deleted, the rest waits for its second look`, async (t) => {
    const { discards, add, undone, due, letTimePass, rows } = await setUp(t);
    await add('settled');
    await add('late', 1800);
    await add('untouched', 1800);
    const found = (await discards.findUndone(100)).filter((it) => it.objectKey !== 'untouched');
    await discards.settleDeleted(found.map((it) => it.discardId));
    assert.deepEqual(await undone(), ['untouched']);
    assert.equal(await rows(), 2);
    assert.deepEqual(await due(), []);
    await letTimePass(1801);
    assert.deepEqual(await due(), ['late']);
    // Not deleted for the first time yet: its time is over, but its first turn comes first.
    assert.deepEqual(await undone(), ['untouched']);
    await discards.drop((await discards.findDueForRecheck(100)).map((it) => it.discardId));
    assert.deepEqual(await due(), []);
    assert.equal(await rows(), 1);
  });

  test(`${kind}: settling twice, by two nodes, is settling once`, async (t) => {
    const { discards, add, due, letTimePass, undone } = await setUp(t);
    await add('late', 1800);
    await add('settled');
    const ids = (await discards.findUndone(100)).map((it) => it.discardId);
    await Promise.all([discards.settleDeleted(ids), discards.settleDeleted(ids)]);
    await discards.settleDeleted(ids);
    assert.deepEqual(await undone(), []);
    await letTimePass(1801);
    assert.deepEqual(await due(), ['late']);
    await discards.drop(ids);
    await discards.drop(ids);
    assert.deepEqual(await due(), []);
  });

  test(`${kind}: what could not be removed makes room for the others, and comes again later each time`, async (t) => {
    const { database, discards, add, undone, due } = await setUp(t);
    for (const key of ['stuck', 'other', 'late']) await add(key, key === 'late' ? 1800 : null);
    const idOf = async (key: string) => {
      const { rows } = await sql<{ id: number }>`SELECT id FROM discards WHERE object_key = ${key}`.execute(
        database.db,
      );
      return Number(rows[0]?.id);
    };
    const waitOf = async (key: string, column: 'due_at' | 'recheck_at') => {
      const { rows } = await sql<{ secs: number }>`SELECT extract(epoch FROM ${sql.ref(column)} - now())::float8 AS secs
        FROM discards WHERE object_key = ${key}`.execute(database.db);
      return rows[0]?.secs ?? Number.NaN;
    };
    const stuck = await idOf('stuck');
    for (const secs of [15, 30, 60]) {
      await discards.postpone([stuck]);
      const wait = await waitOf('stuck', 'due_at');
      assert.ok(wait > secs / 2 - 3 && wait <= secs, `${wait} of ${secs} s`);
    }
    assert.deepEqual(await undone(), ['other', 'late']);
    for (let tries = 0; tries < 40; tries += 1) await discards.postpone([stuck]);
    assert.ok((await waitOf('stuck', 'due_at')) <= 3_600);
    await discards.makeAllDue();
    assert.deepEqual(await undone(), ['stuck', 'other', 'late']);

    const late = await idOf('late');
    await discards.settleDeleted([late]);
    const before = await waitOf('late', 'recheck_at');
    await discards.postpone([late]);
    assert.ok((await waitOf('late', 'recheck_at')) > before - 3, 'another node’s failure does not bring it forward');
    await sql`UPDATE discards SET recheck_at = now() WHERE id = ${late}`.execute(database.db);
    assert.deepEqual(await due(), ['late']);
    await discards.postpone([late]);
    assert.deepEqual(await due(), []);
    assert.ok((await waitOf('late', 'recheck_at')) > 3);
    await discards.makeAllDue();
    assert.deepEqual([await due(), await undone()], [[], ['stuck', 'other']], 'a recheck keeps its time');
  });

  test(`${kind}: nothing to settle or drop is no statement that fails`, async (t) => {
    const { discards, add, undone } = await setUp(t);
    await add('kept');
    await discards.settleDeleted([]);
    await discards.drop([]);
    await discards.postpone([]);
    assert.deepEqual(await undone(), ['kept']);
  });
});
