/**
 * The runbook of docs/operations.md ("Backup and restore"), done for real: a server, a backup, files that come and go
 * after it, a restore, and `npm run sweep` as an operator types it.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { sql } from 'kysely';
import sharp from 'sharp';
import type { Database } from '../../src/catalog/database.ts';
import { eventually } from './eventually.ts';
import { exchange } from './http-exchange.ts';
import { runSweepCommand } from './run-sweep-command.ts';
import { prepareServer, type ServerProcess } from './server-process.ts';
import { patternBytes } from './test-relay.ts';
import { OFFSET_BODY, post, terminate } from './tus-client.ts';

/** A database, and how it is backed up and restored. No server runs during any of these. */
export interface RestorableDatabase {
  /** For servers and commands; `DATA_DIR` among them. */
  readonly env: Record<string, string>;
  backUp(): Promise<void>;
  restore(): Promise<void>;
  withCatalog(work: (database: Database) => Promise<void>): Promise<void>;
}

interface StoredFile {
  url: string;
  id: string;
  key: string;
  content: Buffer;
}

interface FileFacts {
  key: string;
  name: string | null;
  contentType: string | null;
  thumbs: object | null;
}

const base64 = (text: string) => Buffer.from(text).toString('base64');

export function restoreSuite(kind: string, open: (t: TestContext) => Promise<RestorableDatabase | null>): void {
  test(`${kind}: files that were finished after the backup are files again after the runbook, and nothing is deleted`, async (t) => {
    const database = await open(t);
    if (database === null) return t.skip('pg_dump is not installed');
    const { env } = database;
    const server = await prepareServer(t, { env });
    await server.start();
    const before = await store(server, patternBytes(1_000), 'before.bin');
    const deleted = await store(server, patternBytes(2_000), 'deleted.bin');
    // A server that has been running for a while has written its marker.
    assert.equal((await runSweepCommand(env, '--deep')).code, 0);
    await server.stop();
    await database.backUp();

    // Half a day later: the marker and the canary are others by then.
    await database.withCatalog(async ({ db }) => {
      await sql`UPDATE catalog_identity SET rotated_at = now() - interval '13 hours'`.execute(db);
      await sql`UPDATE storage_canary SET created_at = now() - interval '13 hours'`.execute(db);
    });
    await server.start();
    const renewed = await runSweepCommand(env, '--deep');
    assert.equal(renewed.code, 0, renewed.stdout + renewed.stderr);
    const large = await store(server, patternBytes(6 * 2 ** 20), 'large.bin');
    const image = await store(server, await makeImage(), 'Urlaub – 1.png', 'image/png');
    await waitForThumbnails(server, image);
    assert.equal((await terminate(deleted.url)).status, 204);
    // Until its object is gone: a server that stops before leaves it to its next start.
    assert.equal((await runSweepCommand(env)).code, 0);
    await server.stop();
    await database.restore();

    // What it would do without the operator's word, and with it.
    const plan = await runSweepCommand(env, '--deep', '--dry-run', '--list');
    assert.equal(plan.code, 1, plan.stdout + plan.stderr);
    assert.match(plan.stdout, /A deep sweep would be refused: .* a restored backup or a clone/);
    assert.deepEqual(listed(plan.stdout, 'file'), [image.key, large.key].sort());
    assert.match(plan.stdout, /would be adopted with --adopt +2\n +would be removed +0\n/);
    const adoptPlan = await runSweepCommand(env, '--deep', '--adopt', '--dry-run');
    assert.equal(adoptPlan.code, 0, adoptPlan.stdout + adoptPlan.stderr);
    assert.match(adoptPlan.stdout, /would be adopted +2\n +would be removed +0\n/);

    const adopted = await runSweepCommand(env, '--deep', '--adopt');
    assert.equal(adopted.code, 0, adopted.stdout + adopted.stderr);
    assert.match(adopted.stdout, /of these adopted now +2\n[\s\S]*of these removed by now +0\n/);
    await server.start();
    for (const file of [before, large, image]) assert.deepEqual(await download(server, file), file.content);
    const facts = await factsOf(server, image);
    assert.deepEqual([facts.key, facts.name, facts.contentType], [image.key, 'Urlaub – 1.png', 'image/png']);
    await waitForThumbnails(server, image);
    const fresh = await store(server, patternBytes(10), 'fresh.bin');

    // Deleted after the backup: a record without an object, which --verify names, and whose deletion it takes.
    const verified = await runSweepCommand(env, '--deep', '--verify', '--list');
    assert.equal(verified.code, 1, verified.stdout + verified.stderr);
    assert.deepEqual(listed(verified.stdout, 'missing'), [deleted.key]);
    assert.equal((await exchange(`${server.url}/api/files/${deleted.id}`, { method: 'DELETE' })).status, 204);
    const good = await runSweepCommand(env, '--deep', '--verify');
    assert.equal(good.code, 0, good.stdout + good.stderr);
    assert.match(good.stdout, /objects nobody knows +0\n[\s\S]*files without an object +0\n/);
    for (const file of [before, large, image, fresh]) assert.deepEqual(await download(server, file), file.content);
  });
}

async function store(server: ServerProcess, content: Buffer, name: string, type = 'text/plain'): Promise<StoredFile> {
  const headers = { 'Upload-Metadata': `filename ${base64(name)},filetype ${base64(type)}` };
  const length = { 'Upload-Length': content.length, ...OFFSET_BODY };
  const created = await post(`${server.url}/files`, { ...headers, ...length }, content);
  assert.equal(created.status, 201, String(created.body));
  assert.equal(created.headers['upload-offset'], String(content.length));
  const url = String(created.headers.location);
  const id = url.split('/').at(-1) ?? '';
  return { url, id, content, key: (await factsOf(server, { id })).key };
}

async function factsOf(server: ServerProcess, { id }: Pick<StoredFile, 'id'>): Promise<FileFacts> {
  const answer = await exchange(`${server.url}/api/files/${id}`, { method: 'GET' });
  assert.equal(answer.status, 200, String(answer.body));
  return JSON.parse(answer.body.toString('utf8'));
}

async function waitForThumbnails(server: ServerProcess, file: StoredFile): Promise<void> {
  await eventually('the thumbnails', async () => (await factsOf(server, file)).thumbs ?? undefined);
  const thumb = await exchange(`${server.url}/api/files/${file.id}/thumb/128`, { method: 'GET' });
  assert.deepEqual([thumb.status, thumb.headers['content-type']], [200, 'image/webp']);
}

async function download(server: ServerProcess, { id }: StoredFile): Promise<Buffer> {
  const answer = await exchange(`${server.url}/api/files/${id}/content`, { method: 'GET' });
  assert.equal(answer.status, 200, String(answer.body));
  return answer.body;
}

function listed(stdout: string, foundAs: string): string[] {
  const lines = stdout.split('\n').map((line) => line.split('\t'));
  return lines.flatMap((columns) => (columns[0] === foundAs ? [columns.at(-1) ?? ''] : [])).sort();
}

function makeImage(): Promise<Buffer> {
  return sharp({ create: { width: 600, height: 400, channels: 3, background: '#336699' } })
    .png()
    .toBuffer();
}
