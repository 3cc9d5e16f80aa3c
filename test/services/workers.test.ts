/** `WORKERS`: one port, several processes, on a real Postgres, with a real Redis and without. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { exchange } from '../support/http-exchange.ts';
import { scrape } from '../support/read-metrics.ts';
import { type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { createUpload, head, type OpenPatch, openPatch, patch } from '../support/tus-client.ts';
import { startSharedServices } from './support/shared-services.ts';
import { until } from './support/until.ts';

const MIB = 1024 * 1024;
const PART_BYTES = 5 * MIB;
const CONTENT = randomBytes(2 * PART_BYTES + MIB);
const MAX_UPLOADS = 60;

interface Running {
  url: string;
  patch: OpenPatch;
}

async function startWorkers(t: TestContext, env: Record<string, string>): Promise<ServerProcess> {
  return startServerProcess(t, { env: { ...env, WORKERS: '2', BUFFER_BYTES: '64MiB' } });
}

const committedBy = async (server: ServerProcess, worker: number) =>
  (await scrape(server.url)).find(`tus_relay_committed_bytes_total{worker="${worker}"}`) ?? 0;

/** Uploads whose bodies are under way, with `sentBytes` of {@link CONTENT} sent: on either worker one or more. */
async function openOnBothWorkers(server: ServerProcess, sentBytes: number): Promise<Running[]> {
  const running: Running[] = [];
  const before = [await committedBy(server, 1), await committedBy(server, 2)];
  const partsBytes = Math.floor(sentBytes / PART_BYTES) * PART_BYTES;
  for (;;) {
    assert.ok(running.length < MAX_UPLOADS, 'one worker got all the connections');
    const url = await createUpload(`${server.url}/files`, CONTENT.length);
    const open = await openPatch(url, 0, CONTENT.length);
    await open.send(CONTENT.subarray(0, sentBytes));
    running.push({ url, patch: open });
    let gained = [0, 0];
    await until('every whole part is committed', async () => {
      gained = [(await committedBy(server, 1)) - (before[0] ?? 0), (await committedBy(server, 2)) - (before[1] ?? 0)];
      return (gained[0] ?? 0) + (gained[1] ?? 0) === running.length * partsBytes;
    });
    if (gained.every((bytes) => bytes > 0)) return running;
  }
}

/** As the system lists them: the primary's children. */
function workerPids(server: ServerProcess): number[] {
  const { pid } = server.child;
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/).map(Number);
}

async function finishAndCompare(url: string): Promise<void> {
  const offset = Number((await head(url)).headers['upload-offset']);
  assert.equal((await patch(url, offset, CONTENT.subarray(offset))).status, 204);
  const { body } = await exchange(url, { method: 'GET' });
  assert.ok(body.equals(CONTENT), 'the content differs');
}

for (const lock of ['Redis', 'Postgres']) {
  test(`workers killed in the middle of uploads are replaced, and each upload goes on where its last part ended, with the lock in ${lock}`, async (t) => {
    const { env } = await startSharedServices(t);
    const server = await startWorkers(t, lock === 'Redis' ? env : { ...env, REDIS_URL: '' });
    assert.equal(server.output.match(/^ {2}Page /gm)?.length, 1, 'one set of start messages');
    const running = await openOnBothWorkers(server, PART_BYTES + MIB);

    for (const [index, pid] of workerPids(server).entries()) {
      process.kill(pid, 'SIGKILL');
      await until('the worker serves again', () => server.output.split('the worker serves again').length === index + 2);
    }
    for (const { url, patch: broken } of running) {
      assert.equal((await broken.answer()).status, 0, 'no answer came');
      assert.equal((await head(url)).headers['upload-offset'], String(PART_BYTES));
      await finishAndCompare(url);
    }
    assert.equal((await scrape(server.url)).find('tus_relay_worker_restarts_total'), 2);
  });
}

test('SIGTERM drains every worker: what has arrived is stored, the clients are told, and the exit code is 0', async (t) => {
  const { env } = await startSharedServices(t);
  const server = await startWorkers(t, { ...env, DRAIN_SECS: '1' });
  const sentBytes = PART_BYTES + MIB;
  const running = await openOnBothWorkers(server, sentBytes);

  const exit = await server.stop();
  assert.deepEqual(exit, { code: 0, signal: null }, server.output);
  for (const { patch: stopped } of running) assert.equal((await stopped.answer()).status, 503);

  await server.start();
  for (const { url } of running) {
    assert.equal((await head(url)).headers['upload-offset'], String(sentBytes));
    await finishAndCompare(url);
  }
});

test('when the database cannot be reached, the start fails with one message', async (t) => {
  const { env, postgres } = await startSharedServices(t);
  await postgres.down();
  await assert.rejects(startWorkers(t, { ...env, START_WAIT_SECS: '3' }), (error: Error) => {
    assert.match(error.message, /^the server ended with 1:/);
    assert.equal(error.message.match(/tus-relay: Postgres at/g)?.length, 1, error.message);
    return true;
  });
});
