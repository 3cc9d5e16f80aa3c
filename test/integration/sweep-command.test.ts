/** `npm run sweep` as an operator runs it: a process of its own, beside the real server and without one. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { sql } from 'kysely';
import { lockDataDir } from '../../src/catalog/data-dir-lock.ts';
import type { Database } from '../../src/catalog/database.ts';
import { openPglite } from '../../src/catalog/pglite.ts';
import { S3ObjectStorage } from '../../src/s3/s3-object-storage.ts';
import { runSweepCommand } from '../support/run-sweep-command.ts';
import { type ServerProcess, startServerProcess } from '../support/server-process.ts';

const MARKER = 'uploads/.tus-relay-catalog';

function makeDataDir(t: TestContext): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'tus-relay-sweep-'));
  t.after(() => rmSync(dataDir, { recursive: true, force: true, maxRetries: 3 }));
  return dataDir;
}

/** The server's bucket, as another program would reach it. */
function openBucket(t: TestContext, server: ServerProcess): S3ObjectStorage {
  const { endpoint, bucket, ...credentials } = server.printedS3();
  const storage = new S3ObjectStorage({
    ...{
      endpoint,
      bucket,
      credentials,
      region: 'us-east-1',
      forcePathStyle: true,
      payloadSigning: 'auto',
      maxSockets: 4,
    },
  });
  t.after(() => storage.close());
  return storage;
}

async function put(storage: S3ObjectStorage, key: string, content: string): Promise<void> {
  const bytes = Buffer.from(content);
  await storage.putObject(key, { bytes: bytes.length, read: () => [bytes] }, {});
}

async function listKeys(storage: S3ObjectStorage): Promise<string[]> {
  return (await storage.listObjects('')).objects.map((object) => object.key);
}

async function upload(server: ServerProcess, bytes: Buffer, sent = bytes.length): Promise<void> {
  const response = await fetch(`${server.url}/files`, {
    method: 'POST',
    headers: {
      'tus-resumable': '1.0.0',
      'upload-length': String(bytes.length),
      'content-type': 'application/offset+octet-stream',
    },
    body: bytes.subarray(0, sent),
  });
  assert.equal(response.status, 201);
  assert.equal(response.headers.get('upload-offset'), String(sent));
}

/** On the catalog of a server that does not run. */
async function withCatalog(dataDir: string, work: (database: Database) => Promise<void>): Promise<void> {
  const lock = lockDataDir(dataDir);
  const database = await openPglite(lock);
  try {
    await work(database);
  } finally {
    await database.close();
    lock.release();
  }
}

/** In the bucket of a server that does not run, everything becomes two days older. */
function ageObjects(dataDir: string): void {
  const index = new DatabaseSync(join(dataDir, 's3', 'index.sqlite'));
  index.exec('UPDATE objects SET modified_ms = modified_ms - 2 * 86400000');
  index.exec('UPDATE uploads SET initiated_ms = initiated_ms - 2 * 86400000');
  index.close();
}

test('what it does not understand ends with 2 and says what it knows, before anything is opened', async (t) => {
  const dataDir = makeDataDir(t);
  rmSync(dataDir, { recursive: true });
  const wrong = await runSweepCommand({ DATA_DIR: dataDir }, '--dry-rum');
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /Unknown option '--dry-rum'[\s\S]*--dry-run/);
  assert.equal(wrong.stdout, '');
  const help = await runSweepCommand({ DATA_DIR: dataDir }, '--help');
  assert.deepEqual([help.code, help.stderr], [0, '']);
  const nowhere = await runSweepCommand({ DATA_DIR: dataDir });
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.stderr, /^tus-relay sweep: there is nothing to do: the data folder .* does not exist\n$/);
});

test('beside a running server, that server sweeps, and tells another catalog’s marker', async (t) => {
  const env = { DATA_DIR: makeDataDir(t) };
  const server = await startServerProcess(t, { env });
  await upload(server, Buffer.from('a file'));
  const swept = await runSweepCommand(env, '--deep');
  assert.equal(swept.code, 0, swept.stdout + swept.stderr);
  assert.match(swept.stdout, /^Swept\.\n[\s\S]*objects of ours listed +1\n[\s\S]*\nTotal: 0\n$/);

  const bucket = openBucket(t, server);
  assert.ok((await listKeys(bucket)).includes(MARKER));
  await put(bucket, MARKER, JSON.stringify({ catalogId: randomUUID(), generation: randomUUID() }));
  const refused = await runSweepCommand(env, '--deep');
  assert.equal(refused.code, 1);
  assert.match(refused.stdout, /The deep sweep was refused: the marker .* names another catalog .*--deep --adopt/);
  assert.equal((await runSweepCommand(env)).code, 0, 'the sweep by the catalog alone is as good as ever');
  assert.equal((await runSweepCommand(env, '--deep', '--adopt')).code, 0);
  assert.equal((await runSweepCommand(env, '--deep')).code, 0);
});

test('after a kill it takes the lock and opens the embedded parts itself', async (t) => {
  const env = { DATA_DIR: makeDataDir(t) };
  const server = await startServerProcess(t, { env });
  const bucket = openBucket(t, server);
  // The marker is there once a deep sweep has been allowed.
  assert.equal((await runSweepCommand(env, '--deep')).code, 0);
  await upload(server, Buffer.from('a file'));
  await upload(server, Buffer.from('an unfinished file'), 6);
  const orphan = `uploads/public/2026/01/31/${randomUUID()}`;
  const refused = `uploads/public/2026/01/31/${randomUUID()}`;
  const strangers = ['uploads/readme.txt', 'somebody-elses'];
  for (const key of [orphan, refused, ...strangers]) await put(bucket, key, 'content');
  await bucket.createMultipartUpload(`uploads/public/2026/01/31/${randomUUID()}`, {});
  const stored = await listKeys(bucket);
  await server.kill();
  ageObjects(env.DATA_DIR);
  await withCatalog(env.DATA_DIR, async ({ db }) => {
    await sql`UPDATE uploads SET expires_at = now() - interval '1 second' WHERE state = 'open'`.execute(db);
    // S3 has refused this one often, and whoever sweeps by hand has mended why.
    await sql`INSERT INTO discards (upload_id, object_key, tries, due_at)
      VALUES (${randomUUID()}, ${refused}, 9, now() + interval '1 hour')`.execute(db);
  });

  const plan = await runSweepCommand(env, '--deep', '--dry-run');
  assert.equal(plan.code, 0, plan.stdout + plan.stderr);
  assert.match(
    plan.stdout,
    /uploads to expire +1\n[\s\S]*objects nobody knows +1\n[\s\S]*multipart uploads nobody knows +1\n/,
  );
  assert.match(plan.stdout, /\nTotal: 4\n$/);
  assert.ok(plan.stdout.includes(`    ${orphan} (7 bytes, `));
  const list = await runSweepCommand(env, '--deep', '--dry-run', '--list');
  const lines = list.stdout.split('\n').filter((line) => line.startsWith('removed\t'));
  assert.equal(lines.length, 2);
  assert.match(lines.join('\n'), new RegExp(`^removed\\tobject\\t7\\t\\S+\\t${orphan}$`, 'm'));

  const swept = await runSweepCommand(env, '--deep');
  assert.equal(swept.code, 0, swept.stdout + swept.stderr);
  assert.match(swept.stdout, /uploads expired +1\n[\s\S]*of these removed by now +2\n/);
  assert.equal((await runSweepCommand(env, '--deep')).stdout.match(/\nTotal: (\d+)\n/)?.[1], '0');

  await server.start();
  const left = await listKeys(openBucket(t, server));
  const gone = stored.filter((key) => !left.includes(key));
  assert.equal(gone.length, 3, 'the orphan, what was refused, and the unfinished file’s tail');
  assert.ok(gone.includes(orphan) && gone.includes(refused) && gone.some((key) => key.includes('.tail/')));
  for (const key of strangers) assert.ok(left.includes(key));
});
