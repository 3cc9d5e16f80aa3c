import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { findControlAddress } from '../../src/app/control-address.ts';
import { askServer } from '../../src/app/control-client.ts';
import { openControlSocket } from '../../src/app/control-socket.ts';
import type { JobsReport, Operations, UploadsReport } from '../../src/app/operations.ts';
import type { RunSweep, SweepReport, SweepRequest } from '../../src/app/sweep-parts.ts';
import type { FoundItem } from '../../src/relay/deep-sweep-report.ts';

const WISH: SweepRequest = { dryRun: true, deep: false, adopt: false, list: false, verify: false };
const COUNTS = { expired: 1, adopted: 6, completionsResumed: 2, removed: 3, rechecked: 4, purged: 5 };
const never = new AbortController().signal;

function askServerToSweep(
  dataDir: string,
  wish: SweepRequest,
  signal: AbortSignal,
  onFound?: (found: FoundItem) => Promise<void>,
): Promise<SweepReport | null> {
  return askServer<SweepReport, FoundItem>(dataDir, '/sweep', wish, signal, onFound);
}

const sweep: RunSweep = async (wish) => ({ request: wish, counts: COUNTS, deep: null, failures: [] });

const operations: Operations = {
  runUploads: async (request) => ({ uploads: [], changed: request.action === 'end' ? 1 : 0, problem: null }),
  runJobs: async () => ({ jobs: [], changed: 2, problem: null }),
};

function makeDataDir(t: TestContext, name = 'd'): string {
  const parent = mkdtempSync(join(tmpdir(), 'tus-relay-socket-'));
  t.after(() => rmSync(parent, { recursive: true, force: true }));
  const dataDir = join(parent, name);
  mkdirSync(dataDir);
  return dataDir;
}

async function open(t: TestContext, dataDir: string, run: RunSweep = sweep) {
  const socket = await openControlSocket({ dataDir, sweep: run, operations });
  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    await socket.close();
  };
  t.after(close);
  return close;
}

test('a command beside the server gets the report of what the server did', async (t) => {
  const dataDir = makeDataDir(t);
  await open(t, dataDir);
  const request = { dryRun: false, deep: true, adopt: true, list: false, verify: false };
  const report = await askServerToSweep(dataDir, request, never);
  assert.deepEqual(report, {
    ...{ request, counts: COUNTS, deep: null, failures: [] },
  });
});

test('a list comes as it is found, however long it is, and no faster than it is read', async (t) => {
  const dataDir = makeDataDir(t);
  const count = 20_000;
  const item = (n: number): FoundItem => ({
    ...{ foundAs: 'file', key: `uploads/public/2026/01/31/${n}`, kind: 'object', bytes: n, storedAt: null },
  });
  let sent = 0;
  await open(t, dataDir, async (wish, _signal, onFound) => {
    for (; sent < count; sent += 1) await onFound?.(item(sent));
    return { request: wish, counts: COUNTS, deep: null, failures: [] };
  });
  let read = 0;
  const held = Promise.withResolvers<void>();
  const asked = askServerToSweep(dataDir, { ...WISH, deep: true, list: true }, never, async (found) => {
    assert.deepEqual(found, item(read));
    read += 1;
    if (read === 1) await held.promise;
  });
  const stalled = await settlesAt(() => sent);
  assert.ok(stalled > 0 && stalled < count, `${stalled} sent while one was read`);
  held.resolve();
  assert.deepEqual((await asked)?.counts, COUNTS);
  assert.equal(read, count);
  read = 0;
  assert.deepEqual((await askServerToSweep(dataDir, { ...WISH, deep: true }, never))?.counts, COUNTS);
  assert.equal(read, 0, 'nobody asked for a list');
});

/** When it has not moved for a while. */
async function settlesAt(look: () => number): Promise<number> {
  for (let last = -1, same = 0; ; ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const now = look();
    same = now === last && now > 0 ? same + 1 : 0;
    if (same === 4) return now;
    last = now;
  }
}

test('the server does with uploads and jobs what a command asks, and refuses what it does not understand', async (t) => {
  const dataDir = makeDataDir(t);
  await open(t, dataDir);
  const uploadId = '11111111-1111-4111-8111-111111111111';
  const ended = await askServer<UploadsReport>(dataDir, '/uploads', { action: 'end', uploadId }, never);
  assert.equal(ended?.changed, 1);
  const listed = await askServer<JobsReport>(dataDir, '/jobs', { action: 'list', queue: null, limit: 1 }, never);
  assert.equal(listed?.changed, 2);
  for (const wish of [{ action: 'end', uploadId: 'x' }, { action: 'explode', uploadId }, {}]) {
    await assert.rejects(askServer(dataDir, '/uploads', wish, never), /does not understand the request/);
  }
});

test('nobody but the server’s own user may enter', { skip: process.platform === 'win32' }, async (t) => {
  const dataDir = makeDataDir(t);
  await open(t, dataDir);
  const path = findControlAddress(dataDir);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(dirname(path)).mode & 0o777, 0o700);
});

test('without a server there is nobody to ask, before the first start and after a stop', async (t) => {
  const dataDir = makeDataDir(t);
  assert.equal(await askServerToSweep(dataDir, WISH, never), null);
  const close = await open(t, dataDir);
  assert.notEqual(await askServerToSweep(dataDir, WISH, never), null);
  await close();
  assert.equal(await askServerToSweep(dataDir, WISH, never), null);
  assert.deepEqual(readdirSync(dataDir), [], 'nothing stays behind');
});

/** Listens as a server does, and is killed. */
const LISTENER = `
  import { openControlSocket } from ${JSON.stringify(new URL('../../src/app/control-socket.ts', import.meta.url).href)};
  await openControlSocket({ dataDir: process.argv[1], sweep: async () => { throw new Error('not me'); }, operations: {} });
  process.stdout.write('listening');
`;

for (const name of ['d', 'long-'.repeat(40)]) {
  test(`the socket of a killed server is replaced (a path of ${name.length})`, async (t) => {
    const dataDir = makeDataDir(t, name);
    const killed = spawn(process.execPath, ['--input-type=module', '-e', LISTENER, dataDir]);
    await once(killed.stdout, 'data');
    const before = findControlAddress(dataDir);
    assert.ok(statSync(before).isSocket());
    killed.kill('SIGKILL');
    await once(killed, 'close');
    assert.equal(await askServerToSweep(dataDir, WISH, never), null, 'nobody listens there');
    await open(t, dataDir);
    assert.deepEqual((await askServerToSweep(dataDir, WISH, never))?.counts, COUNTS);
    if (name.length > 100) assert.throws(() => statSync(dirname(before)), 'what the killed one had made is gone');
  });
}

test('a data folder with a long path has its socket elsewhere, and nothing stays there', async (t) => {
  const dataDir = makeDataDir(t, 'x'.repeat(150));
  const close = await open(t, dataDir);
  const path = findControlAddress(dataDir);
  assert.ok(Buffer.byteLength(path) <= 100, path);
  assert.equal(readFileSync(join(dataDir, 'control', 'path'), 'utf8').trim(), path);
  assert.equal(statSync(dirname(path)).mode & 0o777, 0o700);
  assert.deepEqual((await askServerToSweep(dataDir, WISH, never))?.counts, COUNTS);
  await close();
  assert.throws(() => statSync(dirname(path)));
});

test('a command that goes away ends what it asked for', async (t) => {
  const dataDir = makeDataDir(t);
  const begun = Promise.withResolvers<AbortSignal>();
  const ended = Promise.withResolvers<void>();
  await open(t, dataDir, (wish, signal) => {
    begun.resolve(signal as AbortSignal);
    return new Promise<SweepReport>((resolve) =>
      signal?.addEventListener('abort', () => {
        ended.resolve();
        resolve({ request: wish, counts: COUNTS, deep: null, failures: [] });
      }),
    );
  });
  const command = new AbortController();
  const asked = askServerToSweep(dataDir, WISH, command.signal);
  assert.equal((await begun.promise).aborted, false);
  command.abort();
  await assert.rejects(asked, /interrupted/);
  await ended.promise;
});

test('closing does not wait for a sweep that is under way', async (t) => {
  const dataDir = makeDataDir(t);
  const begun = Promise.withResolvers<void>();
  const close = await open(t, dataDir, (_wish, signal) => {
    begun.resolve();
    return new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
  });
  const asked = askServerToSweep(dataDir, WISH, never);
  const refused = assert.rejects(asked, /the running server did not carry it out/);
  await begun.promise;
  await close();
  await refused;
});

test('what the server does not understand it does not do', async (t) => {
  const dataDir = makeDataDir(t);
  let sweeps = 0;
  await open(t, dataDir, (wish) => {
    sweeps += 1;
    return sweep(wish);
  });
  const socketPath = findControlAddress(dataDir);
  const post = async (method: string, path: string, body: string) => {
    const sent = request({ socketPath, method, path, headers: { 'content-length': Buffer.byteLength(body) } });
    sent.end(body);
    const [response] = await once(sent, 'response');
    response.resume();
    return response.statusCode;
  };
  for (const body of [
    '',
    '{',
    '[]',
    '{"deep":true}',
    JSON.stringify({ ...WISH, deep: 'yes' }),
    JSON.stringify({ ...WISH, more: 1 }),
  ]) {
    assert.equal(await post('POST', '/sweep', body), 400, body);
  }
  assert.equal(await post('POST', '/sweep', ' '.repeat(70_000)), 400);
  assert.equal(await post('POST', '/other', JSON.stringify(WISH)), 404);
  assert.equal(await post('GET', '/sweep', ''), 404);
  assert.equal(sweeps, 0);
  await assert.rejects(
    askServerToSweep(dataDir, { ...WISH, dryRun: 1 as never }, never),
    /did not carry it out: this server does not understand the request/,
  );
});
