/** The counts behind `/metrics`, on every kind of catalog. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { sql } from 'kysely';
import { countUndeleted, countUploads } from '../../src/catalog/catalog-figures.ts';
import type { Database } from '../../src/catalog/database.ts';
import { UploadCatalog } from '../../src/catalog/upload-catalog.ts';
import { countJobs } from '../../src/pipeline/job-figures.ts';
import { createJobQueue } from '../../src/pipeline/job-queue.ts';
import { QUEUES } from '../../src/pipeline/queues.ts';
import { forEachTestDatabase } from '../support/test-database.ts';

async function createUpload(database: Database, onTakeover = () => {}) {
  const catalog = new UploadCatalog(database, { uploadExpiresSecs: 60, discardRecheckSecs: 1_800, onTakeover });
  const uploadId = randomUUID();
  await catalog.create({
    ...{
      uploadId,
      owner: 'public',
      objectKey: `uploads/public/2026/01/31/${uploadId}`,
      protocol: 'tus',
      metadata: null,
    },
    ...{ lengthBytes: 10, partBytes: 5, state: 'open', writer: null },
  });
  return { catalog, uploadId };
}

forEachTestDatabase((kind, open) => {
  test(`${kind}: uploads are counted by state, finished ones apart, and states without any are 0`, async (t) => {
    const database = await open(t);
    for (const state of ['open', 'open', 'completing', 'finished', 'finished', 'lost']) {
      const { uploadId } = await createUpload(database);
      const ended = state === 'lost' ? sql`now()` : sql`NULL`;
      await sql`UPDATE uploads SET state = ${state}, ended_at = ${ended} WHERE id = ${uploadId}`.execute(database.db);
    }
    assert.deepEqual(Object.fromEntries(await countUploads(database)), {
      ...{ open: 2, completing: 1, lost: 1 },
      ...{ terminated: 0, expired: 0, failed: 0 },
    });
  });

  test(`${kind}: what a terminated upload leaves behind is due for deletion until it is deleted`, async (t) => {
    const database = await open(t);
    const { catalog, uploadId } = await createUpload(database);
    assert.equal(await countUndeleted(database), 0);
    await catalog.terminate(uploadId);
    const due = await countUndeleted(database);
    assert.ok(due > 0);
    assert.equal((await countUploads(database)).get('terminated'), 1);
    await sql`UPDATE discards SET deleted_at = now()`.execute(database.db);
    assert.equal(await countUndeleted(database), 0);
  });

  test(`${kind}: only the claim that finds another's token is told as a takeover`, async (t) => {
    const database = await open(t);
    let takeovers = 0;
    const { catalog, uploadId } = await createUpload(database, () => {
      takeovers += 1;
    });
    const claim = () =>
      catalog.claim({
        ...{ uploadId, offsetBytes: 0, declaredLengthBytes: null, partsAhead: 4, onlyAfterSilenceSecs: null },
        ...{ token: randomUUID(), freshKeyName: randomUUID(), maxParts: 100 },
      });
    await claim();
    assert.equal(takeovers, 0);
    await claim();
    assert.equal(takeovers, 1);
  });

  test(`${kind}: every queue has its counts`, async (t) => {
    const database = await open(t);
    const queue = createJobQueue(database, { log: { warn: () => {} } });
    t.after(() => queue.stop());
    await queue.start();
    const figures = await countJobs(database);
    assert.deepEqual(figures.map((it) => it.queue).sort(), Object.values(QUEUES).sort());
    for (const { ready, deferred, active } of figures) assert.deepEqual([ready, deferred, active], [0, 0, 0]);
  });

  test(`${kind}: the pool is told where there is one`, async (t) => {
    const database = await open(t);
    await database.ping();
    const figures = database.poolFigures?.();
    if (kind === 'pglite') assert.equal(figures, undefined);
    else assert.deepEqual(figures, { total: 1, idle: 1, waiting: 0 });
  });
});
