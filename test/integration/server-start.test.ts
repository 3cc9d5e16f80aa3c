/** Starts that cannot succeed: one clear sentence, an exit code that is not 0, and no stack trace. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DEV_S3_CREDENTIALS, startTestDevS3 } from '../support/dev-s3.ts';
import { ServerProcess, startServerProcess } from '../support/server-process.ts';

/** What the program wrote to the terminal, and how it ended. */
async function startInVain(t: TestContext, env: Record<string, string>): Promise<string> {
  const server = new ServerProcess('src/main.ts', { DEV_S3_PORT: '0', START_WAIT_SECS: '1', ...env });
  t.after(() => server.kill());
  await assert.rejects(server.start(), 'the server started');
  const { code, signal } = await server.exited;
  assert.deepEqual([code, signal], [1, null], server.output);
  const said = server.output.split('\n').filter((line) => !line.startsWith('{') && line !== '');
  assert.match(said[0] ?? '', /^tus-relay: /);
  assert.doesNotMatch(server.output, /^\s+at /m, 'a stack trace');
  assert.deepEqual(server.loggedErrors(), []);
  return said.join('\n');
}

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tus-relay-start-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A port that is taken, by somebody who never says a word. */
async function silentPort(t: TestContext): Promise<number> {
  const server: Server = createServer(() => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return (server.address() as { port: number }).port;
}

/** A port that nobody listens on. */
async function deadPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function external(endpoint: string, more: Record<string, string> = {}): Record<string, string> {
  return {
    S3_BUCKET: 'start-tests',
    S3_ENDPOINT: endpoint,
    AWS_ACCESS_KEY_ID: DEV_S3_CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: DEV_S3_CREDENTIALS.secretAccessKey,
    ...more,
  };
}

test('every bad variable is named in one error', async (t) => {
  const bad = {
    HOST: 'a b',
    PART_BYTES: '1KiB',
    BASE_PATH: 'no slash',
    LOG_LEVEL: 'loud',
    DRAIN_SECS: '-1',
    S3_BUCKET: 'X',
  };
  const said = await startInVain(t, { ...bad, DATA_DIR: await temporaryFolder(t) });
  for (const name of Object.keys(bad)) assert.ok(said.includes(`  ${name}: expected `), `${name} in:\n${said}`);
  assert.equal(said.split('\n').length, 1 + Object.keys(bad).length, said);
});

test('a node of many without a bucket is told what to set, and one others reach does not print the embedded key', async (t) => {
  const env = { DATABASE_URL: 'postgres://relay@127.0.0.1:1/relay', S3_BUKET: 'uploads' };
  const said = await startInVain(t, { ...env, DATA_DIR: await temporaryFolder(t) });
  assert.match(said, /S3_BUCKET: expected the name of a bucket beside DATABASE_URL, found nothing \(but S3_BUKET\)/);
  assert.doesNotMatch(said, /secret key/);
  const reached = await startServerProcess(t, { env: { HOST: '0.0.0.0', S3_BUCKET: 'embedded' } });
  assert.match(reached.output, /secret key +in s3\/credentials\.json of the data folder$/m);
});

test('a bad secret is named and not shown', async (t) => {
  const said = await startInVain(t, { DATABASE_URL: 'mysql://u:hunter2@h/d', DATA_DIR: await temporaryFolder(t) });
  assert.match(said, /DATABASE_URL: expected /);
  assert.doesNotMatch(said, /hunter2/);
});

test('a data folder that cannot be written is named', async (t) => {
  const file = join(await temporaryFolder(t), 'file');
  writeFileSync(file, '');
  // Below a file there is no folder, for root either.
  const said = await startInVain(t, { DATA_DIR: join(file, 'data') });
  assert.ok(said.includes(`the data folder ${join(file, 'data')} cannot be written`), said);
  if (process.platform !== 'linux') return;
  assert.match(
    await startInVain(t, { DATA_DIR: '/proc/data' }),
    /the data folder \/proc\/data cannot be written: a folder on the way there does not exist and cannot be made \(ENOENT\)/,
  );
  const spill = { DATA_DIR: await temporaryFolder(t), SPILL_DIR: '/proc/spill/here' };
  assert.match(await startInVain(t, spill), /SPILL_DIR \/proc\/spill\/here cannot be written: a folder .* \(ENOENT\)/);
});

test('a second server on the same data folder is turned away, and the first one goes on', async (t) => {
  const folder = await temporaryFolder(t);
  const first = await startServerProcess(t, { env: { DATA_DIR: folder, LOG_LEVEL: 'warn' } });
  const said = await startInVain(t, { DATA_DIR: folder });
  assert.ok(said.includes(folder) && said.includes(`pid ${first.child.pid}`), said);
  assert.equal((await fetch(`${first.url}/readyz`)).status, 200);

  await t.test('a port that is taken is named', async (t) => {
    const taken = new ServerProcess('src/main.ts', { DEV_S3_PORT: '0', DATA_DIR: await temporaryFolder(t) });
    taken.wishPort(first.port);
    t.after(() => taken.kill());
    await assert.rejects(taken.start());
    assert.equal((await taken.exited).code, 1);
    assert.match(taken.output, new RegExp(`^tus-relay: port ${first.port} on 127.0.0.1 is already in use`, 'm'));
    assert.doesNotMatch(taken.output, /^\s+at /m);
  });
});

test('a port of the embedded S3 that is taken is named', async (t) => {
  const port = await silentPort(t);
  const said = await startInVain(t, { DEV_S3_PORT: String(port), DATA_DIR: await temporaryFolder(t) });
  assert.match(said, new RegExp(`port ${port} for the embedded S3 is already in use`));
});

test('S3 that refuses the keys, has no such bucket, is not there, or never answers: a sentence each', async (t) => {
  const s3 = await startTestDevS3(t, { buckets: ['start-tests'] });
  const dead = `http://127.0.0.1:${await deadPort()}`;
  const silent = `http://127.0.0.1:${await silentPort(t)}`;
  const dataDir = await temporaryFolder(t);
  const cases: [Record<string, string>, RegExp][] = [
    [external(s3.url, { AWS_SECRET_ACCESS_KEY: 'wrong-secret-key' }), /secret|signature/i],
    [external(s3.url, { AWS_ACCESS_KEY_ID: 'AKIAWRONG' }), /credentials \(InvalidAccessKeyId\)/],
    [external(s3.url, { S3_BUCKET: 'no-such-bucket' }), /no-such-bucket/],
    [external(dead), new RegExp(new URL(dead).host)],
    [external(silent), new RegExp(new URL(silent).host)],
  ];
  for (const [env, expected] of cases) {
    const said = await startInVain(t, { ...env, DATA_DIR: dataDir });
    assert.match(said, expected);
    assert.equal(said.split('\n').length, 1, said);
    assert.ok(!said.includes(env.AWS_SECRET_ACCESS_KEY ?? ''), 'the secret is shown');
  }
});

test('a database that is not there, or never answers: a sentence that names it and not its password', async (t) => {
  for (const port of [await deadPort(), await silentPort(t)]) {
    const said = await startInVain(t, {
      DATABASE_URL: `postgres://relay:hunter2@127.0.0.1:${port}/uploads`,
      S3_BUCKET: 'embedded',
      DATA_DIR: await temporaryFolder(t),
    });
    assert.match(said, new RegExp(`127\\.0\\.0\\.1:${port}/uploads`));
    assert.doesNotMatch(said, /hunter2/);
    assert.equal(said.split('\n').length, 1, said);
  }
});
