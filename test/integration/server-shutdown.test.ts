/** SIGTERM and SIGINT: running requests commit what they have, and the process ends with 0. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { realParts, startServer } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { createLogger } from '../../src/observability/logger.ts';
import { eventually } from '../support/eventually.ts';
import { exchange } from '../support/http-exchange.ts';
import { openDownload } from '../support/open-download.ts';
import { type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { patternBytes } from '../support/test-relay.ts';
import { createUpload, head, type OpenPatch, openPatch, patch, terminate } from '../support/tus-client.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MIB = 2 ** 20;
const CONTENT = patternBytes(8 * MIB);
const SENT_BYTES = 6 * MIB;

/** A PATCH in mid-body. The server reads what was sent within DRAIN_SECS if it has not done so yet. */
async function beginPatch(filesUrl: string): Promise<{ url: string; open: OpenPatch }> {
  const url = await createUpload(filesUrl, CONTENT.length);
  const open = await openPatch(url, 0, CONTENT.length);
  await open.send(CONTENT.subarray(0, SENT_BYTES));
  return { url, open };
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal}: a running PATCH commits what it has received, and goes on after the restart`, async (t) => {
    const server = await startServerProcess(t, { env: { LOG_LEVEL: 'info', DRAIN_SECS: '3' } });
    const { url, open } = await beginPatch(`${server.url}/files`);
    const ended = server.stop(signal);
    const answer = await open.answer();
    assert.equal(answer.status, 503);
    assert.match(answer.head, /ERR_SERVER_SHUTDOWN/);
    assert.deepEqual(await ended, { code: 0, signal: null }, server.output);
    assert.deepEqual(server.loggedErrors(), []);
    await server.start();
    assert.equal((await head(url)).headers['upload-offset'], String(SENT_BYTES));
    assert.equal((await patch(url, SENT_BYTES, CONTENT.subarray(SENT_BYTES))).status, 204);
    assert.ok((await exchange(url, { method: 'GET' })).body.equals(CONTENT));
  });
}

test('a PATCH that ends within DRAIN_SECS is finished, and answered', async (t) => {
  const server = await startServerProcess(t, { env: { LOG_LEVEL: 'info', DRAIN_SECS: '60' } });
  const { open } = await beginPatch(`${server.url}/files`);
  const ended = server.stop('SIGTERM');
  await eventually('the shutdown', async () => (server.output.includes('shutting down') ? true : undefined));
  await open.send(CONTENT.subarray(SENT_BYTES));
  const answer = await open.answer();
  assert.equal(answer.status, 204, answer.head);
  assert.deepEqual(await ended, { code: 0, signal: null }, server.output);
});

/** More than the system takes for a client that does not read. */
const LARGE = patternBytes(40 * MIB);

async function storeLarge(server: ServerProcess): Promise<{ uploadUrl: string; fileUrl: string }> {
  const uploadUrl = await createUpload(`${server.url}/files`, LARGE.length);
  assert.equal((await patch(uploadUrl, 0, LARGE)).status, 204);
  return { uploadUrl, fileUrl: `${server.url}/api/files/${uploadUrl.split('/').at(-1)}/content` };
}

test('downloads that nobody reads, live events and connections without a request do not hold the end up', async (t) => {
  const server = await startServerProcess(t, { env: { LOG_LEVEL: 'info', DRAIN_SECS: '2' } });
  const { uploadUrl, fileUrl } = await storeLarge(server);
  const downloads = await Promise.all([openDownload(uploadUrl), openDownload(fileUrl)]);
  for (const download of downloads) assert.equal(await download.status(), 200);
  const events = await openDownload(`${server.url}/api/events`);
  assert.equal(await events.status(), 200);
  const silent = connect(server.port, '127.0.0.1');
  silent.on('error', () => {});
  await once(silent, 'connect');
  t.after(() => {
    for (const { socket } of [...downloads, events, { socket: silent }]) socket.destroy();
  });
  const startedMs = performance.now();
  assert.deepEqual(await server.stop('SIGTERM'), { code: 0, signal: null }, server.output);
  // Before, the first of them held it up for as long as it lasted; then the process ended itself, after 20 s, with 1.
  assert.ok(performance.now() - startedMs < 15_000);
  assert.deepEqual(server.loggedErrors(), []);
});

test('only connections without a request are open: the server ends at once', async (t) => {
  const server = await startServerProcess(t, { env: { LOG_LEVEL: 'info', DRAIN_SECS: '3600' } });
  const silent = connect(server.port, '127.0.0.1');
  silent.on('error', () => {});
  await once(silent, 'connect');
  const agent = new Agent({ keepAlive: true });
  t.after(() => {
    silent.destroy();
    agent.destroy();
  });
  const [answer] = await once(request({ port: server.port, path: '/livez', agent }).end(), 'response');
  answer.resume();
  await once(answer, 'end');
  assert.deepEqual(await server.stop('SIGTERM'), { code: 0, signal: null }, server.output);
});

test('a download that ends within DRAIN_SECS is not cut', async (t) => {
  const server = await startServerProcess(t, { env: { LOG_LEVEL: 'info', DRAIN_SECS: '3600' } });
  const { uploadUrl, fileUrl } = await storeLarge(server);
  const downloads = await Promise.all([openDownload(uploadUrl), openDownload(fileUrl)]);
  for (const download of downloads) assert.equal(await download.status(), 200);
  const ended = server.stop('SIGTERM');
  await eventually('the shutdown', async () => (server.output.includes('shutting down') ? true : undefined));
  for (const download of downloads) assert.ok((await download.takeAll()) > LARGE.length);
  assert.deepEqual(await ended, { code: 0, signal: null }, server.output);
});

test('the signal may go to npm start', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'tus-relay-npm-'));
  const npm = startNpm(t, dataDir);
  let output = '';
  for (const stream of [npm.stdout, npm.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const filesUrl = await eventually(
    'the server is ready',
    async () => {
      if (npm.exitCode !== null) throw new Error(output);
      return /^ *tus endpoint +(http:\S+)$/m.exec(output)?.[1];
    },
    120_000,
  );
  const { open } = await beginPatch(filesUrl);
  const closed = once(npm, 'close');
  npm.kill('SIGTERM');
  assert.equal((await open.answer()).status, 503);
  await closed;
  assert.match(output, /"msg":"closed"/);
  await assert.rejects(exchange(filesUrl, { method: 'OPTIONS' }), 'nobody listens any more');
});

test('leftovers that a hanging S3 does not remove keep no server from closing', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'tus-relay-close-'));
  t.after(() => rm(dataDir, { recursive: true, force: true, maxRetries: 3 }));
  const { config, secrets } = loadConfig({ DATA_DIR: dataDir, DEV_S3_PORT: '0', PORT: '0', DRAIN_SECS: '1' });
  const hangs = Promise.withResolvers<void>();
  const server = await startServer(config, secrets, createLogger('error'), {
    ...realParts,
    async openStorage(...args) {
      const opened = await realParts.openStorage(...args);
      opened.storage.deleteObjects = (_keys, options) => {
        hangs.resolve();
        return new Promise((_resolve, reject) =>
          options?.signal?.addEventListener('abort', () => reject(options.signal?.reason)),
        );
      };
      return opened;
    },
  });
  const url = await createUpload(`http://127.0.0.1:${server.port}/files`, 10);
  assert.equal((await terminate(url)).status, 204);
  await hangs.promise;
  // It used to wait for S3, for as long as that hung.
  await server.close();
});

function startNpm(t: TestContext, dataDir: string): ChildProcess {
  // As after a set-up: the hooks that install and build are not what this is about.
  const npm = spawn('npm', ['start', '--ignore-scripts', '--silent'], {
    cwd: ROOT,
    env: { ...process.env, PORT: '0', DEV_S3_PORT: '0', DATA_DIR: dataDir, PART_BYTES: '5MiB', DRAIN_SECS: '3' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  t.after(async () => {
    // The group, so that a server that npm has left behind does not outlive the test.
    if (npm.pid !== undefined) {
      try {
        process.kill(-npm.pid, 'SIGKILL');
      } catch {
        // All of it has ended.
      }
    }
    await rm(dataDir, { recursive: true, force: true, maxRetries: 3 });
  });
  return npm;
}

test('a client that left in the midst of a preflight does not hold the shutdown', async (t) => {
  const server = await startServerProcess(t, { env: { DRAIN_SECS: '60' } });
  const socket = connect(server.port, '127.0.0.1').resume();
  // What is no HTTP ends the connection before the preflight has been answered.
  socket.write('OPTIONS /files HTTP/1.1\r\nHost: localhost\r\n\r\nnonsense');
  await once(socket, 'close');
  const startedMs = performance.now();
  assert.deepEqual(await server.stop('SIGTERM'), { code: 0, signal: null });
  assert.ok(performance.now() - startedMs < 30_000);
});
