import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { sql } from 'kysely';
import type { Database } from '../../src/catalog/database.ts';
import { DatabaseUnavailableError } from '../../src/catalog/database-errors.ts';
import { createJobQueue, type JobQueue } from '../../src/pipeline/job-queue.ts';
import { QUEUES, type QueueName } from '../../src/pipeline/queues.ts';
import { eventually } from '../support/eventually.ts';
import { forEachTestDatabase } from '../support/test-database.ts';

interface JobRow {
  state: 'created' | 'retry' | 'active' | 'completed' | 'cancelled' | 'failed';
  data: unknown;
  retry_count: number;
  /** Until it may run. */
  waits_secs: number;
}

forEachTestDatabase((kind, open) => {
  const setUp = async (t: TestContext, graceMs = 30_000) => {
    const database = await open(t);
    const warnings: object[] = [];
    const queue = createJobQueue(database, { log: { warn: (fields) => warnings.push(fields) }, graceMs });
    t.after(() => queue.stop());
    await queue.start();
    return { database, queue, warnings };
  };

  test(`${kind}: a job exists exactly when its transaction was committed`, async (t) => {
    const { database, queue } = await setUp(t);
    const [kept, undone, alone] = [randomUUID(), randomUUID(), randomUUID()];
    await database.transaction((trx) => queue.enqueue(trx, QUEUES.sweepUpload, { uploadId: kept }));
    await assert.rejects(
      database.transaction(async (trx) => {
        await queue.enqueue(trx, QUEUES.sweepUpload, { uploadId: undone });
        throw new Error('undone');
      }),
      /undone/,
    );
    await queue.enqueue(database.db, QUEUES.sweepUpload, { uploadId: alone });
    const rows = await jobsIn(database, QUEUES.sweepUpload);
    assert.deepEqual(
      rows.map((row) => row.data),
      [{ uploadId: kept }, { uploadId: alone }],
    );
  });

  test(`${kind}: workers that are waiting run each job once, with its data`, async (t) => {
    const { database, queue } = await setUp(t);
    const ids = Array.from({ length: 8 }, () => randomUUID());
    const ran: string[] = [];
    const all = Promise.withResolvers<void>();
    await queue.work(QUEUES.sweepUpload, { concurrency: 3 }, async ({ data, attempt, signal }) => {
      assert.equal(attempt, 1);
      assert.equal(signal.aborted, false);
      ran.push(data.uploadId);
      if (ran.length === ids.length) all.resolve();
    });
    for (const uploadId of ids) {
      await database.transaction((trx) => queue.enqueue(trx, QUEUES.sweepUpload, { uploadId }));
    }
    await all.promise;
    await queue.stop();
    assert.deepEqual(ran.toSorted(), ids.toSorted());
    const states = new Set((await jobsIn(database, QUEUES.sweepUpload)).map((row) => row.state));
    assert.deepEqual([...states], ['completed']);
  });

  // A worker used to wait for its next poll, thirty seconds here, after each job of a backlog.
  test(`${kind}: a backlog is worked off without a pause`, { timeout: 60_000 }, async (t) => {
    const { database, queue } = await setUp(t);
    const ids = Array.from({ length: 6 }, () => randomUUID());
    for (const uploadId of ids) await queue.enqueue(database.db, QUEUES.sweepUpload, { uploadId });
    const ran = await runUntil(queue, QUEUES.sweepUpload, ids.length);
    assert.deepEqual(
      ran,
      ids.map((uploadId) => ({ uploadId })),
    );
  });

  test(`${kind}: a job that is to wait is not run before its time`, async (t) => {
    const { database, queue } = await setUp(t);
    await queue.enqueue(database.db, QUEUES.uploadCompletion, { uploadId: randomUUID() }, { startAfterSecs: 3600 });
    const now = randomUUID();
    await queue.enqueue(database.db, QUEUES.uploadCompletion, { uploadId: now });
    assert.deepEqual(await runUntil(queue, QUEUES.uploadCompletion, 1), [{ uploadId: now }]);
    const [waiting] = (await jobsIn(database, QUEUES.uploadCompletion)).filter((row) => row.state === 'created');
    assert.ok((waiting?.waits_secs ?? 0) > 3000);
  });

  test(`${kind}: a job that fails is tried again, later each time, and its failure is told`, async (t) => {
    const { database, queue, warnings } = await setUp(t);
    const failing = { fileId: randomUUID() };
    const attempts: number[] = [];
    const waits: number[] = [];
    const succeeded = Promise.withResolvers<void>();
    await queue.work(QUEUES.thumbnail, { concurrency: 1 }, async ({ data, attempt }) => {
      if (data.fileId === failing.fileId) {
        attempts.push(attempt);
        // A job behind this one, which is run as soon as the failure is written.
        await queue.enqueue(database.db, QUEUES.thumbnail, { fileId: randomUUID() });
        if (attempt < 5) throw new Error('not yet');
        succeeded.resolve();
        return;
      }
      const row = (await jobsIn(database, QUEUES.thumbnail)).find((it) => it.state === 'retry');
      if (row === undefined) return;
      waits.push(row.waits_secs);
      await skipWaiting(database);
      await queue.enqueue(database.db, QUEUES.thumbnail, { fileId: randomUUID() });
    });
    await queue.enqueue(database.db, QUEUES.thumbnail, failing);
    await succeeded.promise;
    await queue.stop();
    assert.deepEqual(attempts, [1, 2, 3, 4, 5]);
    assert.equal(warnings.length, 4);
    // pg-boss adds chance: between one half and the whole of 2 × 2^tries seconds.
    for (const wait of waits) assert.ok(wait > 0);
    assert.ok((waits.at(-1) ?? 0) > 3, String(waits));
  });

  test(`${kind}: completing goes on without end, at most a minute apart`, async (t) => {
    const { database, queue } = await setUp(t);
    await queue.enqueue(database.db, QUEUES.uploadCompletion, { uploadId: randomUUID() });
    await sql`UPDATE pgboss.job SET retry_count = 1000000`.execute(database.db);
    await runUntil(queue, QUEUES.uploadCompletion, 1, new Error('S3 is away'));
    const [row] = await jobsIn(database, QUEUES.uploadCompletion);
    assert.equal(row?.state, 'retry');
    assert.equal(row?.retry_count, 1_000_000);
    assert.ok((row?.waits_secs ?? 0) > 20 && (row?.waits_secs ?? 0) <= 60, String(row?.waits_secs));
  });

  test(`${kind}: a thumbnail that has failed too often becomes a dead letter, which has its own handler`, async (t) => {
    const { database, queue } = await setUp(t);
    const data = { fileId: randomUUID() };
    await queue.enqueue(database.db, QUEUES.thumbnail, data);
    await sql`UPDATE pgboss.job SET retry_count = retry_limit`.execute(database.db);
    const failed = Promise.withResolvers<void>();
    await queue.work(QUEUES.thumbnail, { concurrency: 1 }, async ({ data: { fileId } }) => {
      // The second job is run when the first one's end has been written.
      if (fileId === data.fileId) {
        await queue.enqueue(database.db, QUEUES.thumbnail, { fileId: randomUUID() });
        throw new Error('once too often');
      }
      failed.resolve();
    });
    await failed.promise;
    assert.deepEqual(await runUntil(queue, QUEUES.thumbnailFailed, 1), [data]);
    assert.deepEqual((await jobsIn(database, QUEUES.thumbnail)).map((row) => row.state).sort(), [
      'completed',
      'failed',
    ]);
    const [letter] = await jobsIn(database, QUEUES.thumbnailFailed);
    assert.equal(letter?.state, 'completed');
  });

  test(`${kind}: a file has one thumbnail job, waiting or running; when it is done there may be another`, async (t) => {
    const { database, queue } = await setUp(t);
    const data = { fileId: randomUUID() };
    const enqueue = () => database.transaction((trx) => queue.enqueue(trx, QUEUES.thumbnail, data));
    const count = async () => (await jobsIn(database, QUEUES.thumbnail)).length;
    await Promise.all([enqueue(), enqueue()]);
    await enqueue();
    assert.equal(await count(), 1);
    await queue.enqueue(database.db, QUEUES.thumbnail, { fileId: randomUUID() });
    assert.equal(await count(), 2);
    const countsWhileRunning: number[] = [];
    await runUntil(queue, QUEUES.thumbnail, 2, null, async () => {
      await enqueue();
      countsWhileRunning.push(await count());
    });
    // The first handler's was dropped; in the second's turn the first job was done.
    assert.deepEqual(countsWhileRunning, [2, 3]);
  });

  test(`${kind}: an upload has one unfinished completion job, ever: waiting, running, or waiting for its next try`, async (t) => {
    const { database, queue } = await setUp(t);
    const data = { uploadId: randomUUID() };
    const enqueue = () => queue.enqueue(database.db, QUEUES.uploadCompletion, data);
    const count = async () => (await jobsIn(database, QUEUES.uploadCompletion)).length;
    await enqueue();
    await enqueue();
    assert.equal(await count(), 1);
    await runUntil(queue, QUEUES.uploadCompletion, 1, new Error('S3 says no'), async () => {
      await enqueue();
      assert.equal(await count(), 1, 'while it runs');
    });
    await eventually('it waits for its next try', async () => {
      const [row] = await jobsIn(database, QUEUES.uploadCompletion);
      return row?.state === 'retry' || undefined;
    });
    // As the sweeper does at each of its turns.
    for (let turn = 0; turn < 5; turn += 1) await enqueue();
    assert.equal(await count(), 1);
  });

  test(`${kind}: what an earlier version has left in its queue is dropped at the start`, async (t) => {
    const { database, queue } = await setUp(t);
    await sql`SELECT pgboss.create_queue('complete-upload', '{"policy": "short"}'::jsonb)`.execute(database.db);
    await sql`INSERT INTO pgboss.job (name, data, state) VALUES
      ('complete-upload', '{}', 'created'), ('complete-upload', '{}', 'retry'), ('complete-upload', '{}', 'active')`.execute(
      database.db,
    );
    await queue.stop();
    const next = createJobQueue(database, { log: { warn: () => {} } });
    t.after(() => next.stop());
    await next.start();
    const { rows } = await sql<{ state: string }>`
      SELECT state FROM pgboss.job WHERE name = 'complete-upload'`.execute(database.db);
    // With PGlite nobody else can be running it.
    assert.deepEqual(rows, kind === 'pglite' ? [] : [{ state: 'active' }]);
  });

  test(`${kind}: stopping waits for the job that is running, and takes no other`, async (t) => {
    const { database, queue } = await setUp(t);
    const started = Promise.withResolvers<void>();
    const finish = Promise.withResolvers<void>();
    await queue.work(QUEUES.sweepUpload, { concurrency: 1 }, async () => {
      started.resolve();
      await finish.promise;
    });
    await queue.enqueue(database.db, QUEUES.sweepUpload, { uploadId: randomUUID() });
    await started.promise;
    let stopped = false;
    const stopping = queue.stop().then(() => {
      stopped = true;
    });
    await queue.enqueue(database.db, QUEUES.sweepUpload, { uploadId: randomUUID() });
    assert.equal(stopped, false);
    finish.resolve();
    await stopping;
    const states = (await jobsIn(database, QUEUES.sweepUpload)).map((row) => row.state).sort();
    assert.deepEqual(states, ['completed', 'created']);
  });

  test(`${kind}: a job that does not end in time is aborted, and left to be tried again`, async (t) => {
    const { database, queue } = await setUp(t, 0);
    const started = Promise.withResolvers<AbortSignal>();
    const aborted = Promise.withResolvers<void>();
    await queue.work(QUEUES.sweepUpload, { concurrency: 1 }, async ({ signal }) => {
      signal.addEventListener('abort', () => aborted.resolve());
      started.resolve(signal);
      await aborted.promise;
    });
    await queue.enqueue(database.db, QUEUES.sweepUpload, { uploadId: randomUUID() });
    const signal = await started.promise;
    await queue.stop();
    assert.equal(signal.aborted, true);
    const [row] = await jobsIn(database, QUEUES.sweepUpload);
    assert.equal(row?.state, 'retry');
    await queue.stop();
  });

  test(`${kind}: jobs outlive the program, and it may start again any number of times`, async (t) => {
    const { database, queue } = await setUp(t);
    const data = { uploadId: randomUUID() };
    await queue.enqueue(database.db, QUEUES.sweepUpload, data);
    await queue.stop();
    const next = createJobQueue(database, { log: { warn: () => {} } });
    t.after(() => next.stop());
    await next.start();
    assert.deepEqual(await runUntil(next, QUEUES.sweepUpload, 1), [data]);
  });

  test(`${kind}: what a killed program was running ${kind === 'pglite' ? 'goes back at once' : 'is left to its heartbeat, as another node may be running it'}`, async (t) => {
    const { database, queue } = await setUp(t);
    const data = { uploadId: randomUUID() };
    const started = Promise.withResolvers<void>();
    const finish = Promise.withResolvers<void>();
    await queue.work(QUEUES.sweepUpload, { concurrency: 1 }, async () => {
      started.resolve();
      await finish.promise;
    });
    await queue.enqueue(database.db, QUEUES.sweepUpload, data);
    await started.promise;
    // The first one is not stopped: as if it had been killed here.
    const next = createJobQueue(database, { log: { warn: () => {} } });
    t.after(() => next.stop());
    await next.start();
    const [row] = await jobsIn(database, QUEUES.sweepUpload);
    assert.equal(row?.state, kind === 'pglite' ? 'retry' : 'active');
    if (kind === 'pglite') {
      await skipWaiting(database);
      assert.deepEqual(await runUntil(next, QUEUES.sweepUpload, 1), [data]);
    }
    finish.resolve();
  });

  test(`${kind}: without a database nothing is enqueued, and that is said in the database’s own error`, async (t) => {
    const { queue } = await setUp(t);
    const closed = await open(t);
    await closed.close();
    await assert.rejects(
      queue.enqueue(closed.db, QUEUES.sweepUpload, { uploadId: randomUUID() }),
      DatabaseUnavailableError,
    );
    // On Postgres the queue has connections of its own, which nobody answers here.
    const away = { ...closed, queueConnection: { ...closed.queueConnection, ...UNREACHABLE[kind] } };
    const other = createJobQueue(away, { log: { warn: () => {} } });
    t.after(() => other.stop());
    await assert.rejects(other.start(), DatabaseUnavailableError);
  });
});

const UNREACHABLE = { pglite: {}, postgres: { connectionString: 'postgres://u@127.0.0.1:1/none' } };

/**
 * Works on the queue until `count` jobs have been handled, then stops it, so that what became of them is written.
 *
 * @param failure what the handler throws; null: nothing
 * @returns the data of the jobs
 */
async function runUntil<Q extends QueueName>(
  queue: JobQueue,
  name: Q,
  count: number,
  failure: Error | null = null,
  work: () => Promise<void> = async () => {},
): Promise<unknown[]> {
  const handled: unknown[] = [];
  const enough = Promise.withResolvers<void>();
  await queue.work(name, { concurrency: 1 }, async ({ data }) => {
    if (handled.length === count) return;
    try {
      await work();
    } finally {
      handled.push(data);
      if (handled.length === count) enough.resolve();
    }
    if (failure !== null) throw failure;
  });
  await enough.promise;
  await queue.stop();
  return handled;
}

async function jobsIn(database: Database, queue: QueueName): Promise<JobRow[]> {
  const { rows } = await sql<JobRow>`
    SELECT state, data, retry_count, extract(epoch FROM start_after - now())::float8 AS waits_secs
    FROM pgboss.job WHERE name = ${queue} ORDER BY created_on, id`.execute(database.db);
  return rows;
}

/** As if the time until the next try had passed. */
async function skipWaiting(database: Database): Promise<void> {
  await sql`UPDATE pgboss.job SET start_after = now() WHERE state = 'retry'`.execute(database.db);
}
