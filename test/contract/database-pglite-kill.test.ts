import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sql } from 'kysely';
import { lockDataDir } from '../../src/catalog/data-dir-lock.ts';
import { openPglite } from '../../src/catalog/pglite.ts';
import { createJobQueue } from '../../src/pipeline/job-queue.ts';
import { QUEUES } from '../../src/pipeline/queues.ts';

const moduleUrl = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
const UPLOAD_ID = '0c0ffee0-0000-4000-8000-000000000001';

/** Commits a discard and a job, begins with the job, and leaves a transaction open. */
const PROGRAM = (folder: string) => `
  const { lockDataDir } = await import(${moduleUrl('catalog/data-dir-lock.ts')});
  const { openPglite } = await import(${moduleUrl('catalog/pglite.ts')});
  const { createJobQueue } = await import(${moduleUrl('pipeline/job-queue.ts')});
  const database = await openPglite(lockDataDir(${JSON.stringify(folder)}));
  const queue = createJobQueue(database, { log: console });
  await queue.start();
  const discard = (key) => ({ upload_id: '${UPLOAD_ID}', object_key: key, s3_upload_id: null });
  const running = Promise.withResolvers();
  await queue.work('sweep-upload', { concurrency: 1 }, () => {
    running.resolve();
    return new Promise(() => {});
  });
  await database.transaction(async (trx) => {
    await trx.insertInto('discards').values(discard('committed')).execute();
    await queue.enqueue(trx, 'sweep-upload', { uploadId: '${UPLOAD_ID}' });
  });
  await running.promise;
  await database.transaction(async (trx) => {
    await trx.insertInto('discards').values(discard('uncommitted')).execute();
    console.log('ready');
    await new Promise(() => {});
  });`;

test('what was committed outlives a SIGKILL, what was not is gone, and the job that was running goes back', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tus-relay-kill-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const child = spawn(process.execPath, ['--input-type=module', '--eval', PROGRAM(folder)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const exited = once(child, 'exit');
  const [said] = await Promise.race([once(child.stdout, 'data'), exited]);
  assert.equal(String(said).trim(), 'ready');
  child.kill('SIGKILL');
  await exited;

  const lock = lockDataDir(folder);
  t.after(() => lock.release());
  const database = await openPglite(lock);
  const queue = createJobQueue(database, { log: { warn: () => {} } });
  try {
    const keys = await database.db.selectFrom('discards').select('object_key').execute();
    assert.deepEqual(keys, [{ object_key: 'committed' }]);
    await queue.start();
    const { rows } = await sql`SELECT state, data FROM pgboss.job WHERE name = ${QUEUES.sweepUpload}`.execute(
      database.db,
    );
    assert.deepEqual(rows, [{ state: 'retry', data: { uploadId: UPLOAD_ID } }]);
    await sql`UPDATE pgboss.job SET start_after = now()`.execute(database.db);
    const attempt = Promise.withResolvers<number>();
    await queue.work(QUEUES.sweepUpload, { concurrency: 1 }, async (job) => attempt.resolve(job.attempt));
    assert.equal(await attempt.promise, 2);
  } finally {
    await queue.stop();
    await database.close();
  }
});
