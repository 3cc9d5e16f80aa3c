/** What `npm run uploads` and `npm run jobs` do, on both databases. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { sql } from 'kysely';
import { createOperations } from '../../src/app/operations.ts';
import { countUploads } from '../../src/catalog/catalog-figures.ts';
import type { UploadState } from '../../src/catalog/schema.ts';
import { UploadCatalog } from '../../src/catalog/upload-catalog.ts';
import { createJobQueue } from '../../src/pipeline/job-queue.ts';
import { QUEUES } from '../../src/pipeline/queues.ts';
import { eventually } from '../support/eventually.ts';
import { forEachTestDatabase } from '../support/test-database.ts';

const NO_ID = '00000000-0000-4000-8000-000000000000';

forEachTestDatabase((kind, open) => {
  const setUp = async (t: TestContext) => {
    const database = await open(t);
    const queue = createJobQueue(database, { log: { warn: () => {} } });
    t.after(() => queue.stop());
    await queue.start();
    const catalog = new UploadCatalog(database, { uploadExpiresSecs: 3_600, discardRecheckSecs: 3_000 });
    const kicks: string[] = [];
    const operations = createOperations({ database, queue, catalog, kickDiscards: () => kicks.push('kick') });
    const add = async (state: UploadState, agoSecs = 0) => {
      const uploadId = randomUUID();
      const hasEnded = ['lost', 'failed', 'terminated', 'expired'].includes(state);
      await sql`
        INSERT INTO uploads (id, owner, object_key, protocol, length_bytes, part_bytes, state, expires_at, created_at, ended_at)
        VALUES (${uploadId}, 'public', ${`uploads/${uploadId}`}, 'tus', 10, 5, ${state}, now() + interval '1 hour',
          now() - make_interval(secs => ${agoSecs}), ${hasEnded ? sql`now()` : sql`NULL`})`.execute(database.db);
      return uploadId;
    };
    const attention = async () => {
      const { uploads } = await operations.runUploads({ action: 'list', filter: 'attention', limit: 100 });
      return uploads.map(({ uploadId }) => uploadId);
    };
    const jobs = async () => (await operations.runJobs({ action: 'list', queue: null, limit: 100 })).jobs;
    return { database, queue, operations, add, attention, jobs, kicks };
  };

  test(`${kind}: uploads that need attention are the stuck, the lost and the failed, until they are acknowledged`, async (t) => {
    const { database, operations, add, attention } = await setUp(t);
    await add('open', 400);
    await add('completing', 10);
    await add('terminated', 300);
    const stuck = await add('completing', 90);
    const lost = await add('lost', 60);
    const failed = await add('failed', 30);
    assert.deepEqual(await attention(), [failed, lost, stuck], 'the newest first');
    const counted = async () => {
      const counts = await countUploads(database);
      return [counts.get('lost'), counts.get('failed')];
    };
    assert.deepEqual(await counted(), [1, 1]);
    assert.equal((await operations.runUploads({ action: 'acknowledge', uploadIds: [lost, stuck] })).changed, 1);
    assert.deepEqual(await attention(), [failed, stuck]);
    assert.deepEqual(await counted(), [0, 1], 'what is acknowledged is no alarm');
    assert.equal((await operations.runUploads({ action: 'acknowledge', uploadIds: null })).changed, 1);
    assert.deepEqual(await attention(), [stuck]);
    const shown = await operations.runUploads({ action: 'show', uploadId: lost });
    assert.ok(shown.uploads[0]?.acknowledgedAt);
    const open = await operations.runUploads({ action: 'list', filter: 'open', limit: 1 });
    assert.equal(open.uploads.length, 1);
  });

  test(`${kind}: an unfinished upload can be ended, a file and what has ended cannot`, async (t) => {
    const { operations, add, kicks } = await setUp(t);
    const unfinished = await add('open');
    assert.deepEqual(await operations.runUploads({ action: 'end', uploadId: unfinished }), {
      ...{ uploads: [], changed: 1, problem: null },
    });
    assert.deepEqual(kicks, ['kick']);
    const { uploads } = await operations.runUploads({ action: 'show', uploadId: unfinished });
    assert.equal(uploads[0]?.state, 'terminated');
    for (const [uploadId, problem] of [
      [unfinished, /has ended already: terminated/],
      [await add('finished'), /is a file: delete it as one/],
      [NO_ID, /there is no upload/],
    ] as const) {
      const refused = await operations.runUploads({ action: 'end', uploadId });
      assert.match(refused.problem ?? '', problem);
      assert.equal(refused.changed, 0);
    }
  });

  test(`${kind}: a completion that waits for its next try can be tried at once, with one job as before`, async (t) => {
    const { database, queue, operations, add, jobs } = await setUp(t);
    const uploadId = await add('completing', 90);
    await queue.enqueue(database.db, QUEUES.uploadCompletion, { uploadId }, { startAfterSecs: 3_600 });
    const [waiting] = await jobs();
    assert.ok(Date.parse(waiting?.startsAt ?? '') > Date.now() + 3_000_000);
    assert.equal((await operations.runUploads({ action: 'retry', uploadId })).changed, 1);
    const [hurried, ...others] = await jobs();
    assert.ok(Date.parse(hurried?.startsAt ?? '') < Date.now() + 60_000);
    assert.deepEqual(others, []);
    const without = await add('completing', 90);
    await operations.runUploads({ action: 'retry', uploadId: without });
    assert.equal((await jobs()).length, 2);
    const open = await operations.runUploads({ action: 'retry', uploadId: await add('open') });
    assert.match(open.problem ?? '', /only a completion can be tried again/);
  });

  test(`${kind}: a job that failed says why, runs again when it is told to, and can be discarded`, async (t) => {
    const { database, queue, operations, jobs } = await setUp(t);
    const uploadId = randomUUID();
    let isBroken = true;
    const ran = Promise.withResolvers<void>();
    await queue.work(QUEUES.uploadCompletion, { concurrency: 1 }, async () => {
      if (isBroken) throw new Error('S3 says no');
      ran.resolve();
    });
    await queue.enqueue(database.db, QUEUES.uploadCompletion, { uploadId });
    const failed = await eventually('it has failed', async () => {
      const [job] = await jobs();
      return job?.state === 'retry' ? job : undefined;
    });
    assert.match(failed.problem ?? '', /S3 says no/);
    assert.deepEqual(failed.data, { uploadId });
    isBroken = false;
    // Its next try would be hours away.
    await sql`UPDATE pgboss.job SET start_after = now() + interval '5 hours' WHERE id = ${failed.jobId}::uuid`.execute(
      database.db,
    );
    assert.equal((await operations.runJobs({ action: 'retry', jobId: failed.jobId })).changed, 1);
    await ran.promise;
    await queue.enqueue(database.db, QUEUES.thumbnail, { fileId: randomUUID() }, { startAfterSecs: 3_600 });
    const thumbnail = (await jobs()).find((job) => job.queue === QUEUES.thumbnail);
    assert.equal((await operations.runJobs({ action: 'discard', jobId: thumbnail?.jobId ?? '' })).changed, 1);
    assert.equal(
      (await jobs()).find((job) => job.queue === QUEUES.thumbnail),
      undefined,
    );
    assert.match((await operations.runJobs({ action: 'discard', jobId: NO_ID })).problem ?? '', /there is no job/);
  });

  test(`${kind}: a job that is not tried any more can be tried again`, async (t) => {
    const { database, queue, operations, jobs } = await setUp(t);
    await queue.enqueue(database.db, QUEUES.uploadCompletion, { uploadId: randomUUID() }, { startAfterSecs: 3_600 });
    await sql`UPDATE pgboss.job SET state = 'failed', retry_limit = 0, completed_on = now() WHERE name = ${QUEUES.uploadCompletion}`.execute(
      database.db,
    );
    const [failed] = await jobs();
    assert.equal(failed?.state, 'failed');
    await operations.runJobs({ action: 'retry', jobId: failed?.jobId ?? '' });
    const ran = Promise.withResolvers<void>();
    await queue.work(QUEUES.uploadCompletion, { concurrency: 1 }, async () => ran.resolve());
    await ran.promise;
  });

  // The sweeper has asked for another one since.
  test(`${kind}: a job is not tried again beside another one about the same upload`, async (t) => {
    const { database, queue, operations, jobs } = await setUp(t);
    const data = { uploadId: randomUUID() };
    await queue.enqueue(database.db, QUEUES.uploadCompletion, data, { startAfterSecs: 3_600 });
    await sql`UPDATE pgboss.job SET state = 'failed', retry_limit = 0, completed_on = now() WHERE name = ${QUEUES.uploadCompletion}`.execute(
      database.db,
    );
    await queue.enqueue(database.db, QUEUES.uploadCompletion, data, { startAfterSecs: 3_600 });
    const [failed, waiting] = await jobs();
    const report = await operations.runJobs({ action: 'retry', jobId: failed?.jobId ?? '' });
    assert.match(report.problem ?? '', /another one about the same/);
    assert.deepEqual([failed?.state, waiting?.state, (await jobs()).length], ['failed', 'created', 2]);
  });
});
