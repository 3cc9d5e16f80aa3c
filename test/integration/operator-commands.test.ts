/** `npm run uploads` and `npm run jobs` as an operator runs them: beside the real server, and without one. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { runCommand } from '../support/run-command.ts';
import { startServerProcess } from '../support/server-process.ts';

function makeDataDir(t: TestContext): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'tus-relay-operator-'));
  t.after(() => rmSync(dataDir, { recursive: true, force: true, maxRetries: 3 }));
  return dataDir;
}

const uploads = (dataDir: string, ...args: string[]) =>
  runCommand('src/commands/uploads.ts', { DATA_DIR: dataDir }, args);
const jobs = (dataDir: string, ...args: string[]) => runCommand('src/commands/jobs.ts', { DATA_DIR: dataDir }, args);

test('an operator lists, shows and ends an upload beside the server that holds the data, and without one', async (t) => {
  const dataDir = makeDataDir(t);
  const server = await startServerProcess(t, { env: { DATA_DIR: dataDir } });
  const created = await fetch(`${server.url}/files`, {
    method: 'POST',
    headers: { 'tus-resumable': '1.0.0', 'upload-length': '1000' },
  });
  const location = created.headers.get('location') ?? '';
  const uploadId = location.split('/').at(-1) ?? '';
  assert.deepEqual(await uploads(dataDir), { code: 0, stdout: 'No upload needs attention.\n', stderr: '' });
  const listed = await uploads(dataDir, 'list', '--state', 'open');
  assert.match(listed.stdout, new RegExp(`^${uploadId}  open +0 of 1000 `));
  const shown = await uploads(dataDir, 'show', uploadId);
  assert.match(shown.stdout, /^stored +0 of 1000 bytes$/m);
  const ended = await uploads(dataDir, 'end', uploadId);
  assert.equal(ended.code, 0, ended.stderr);
  const head = await fetch(location, { method: 'HEAD', headers: { 'tus-resumable': '1.0.0' } });
  assert.equal(head.status, 410);
  const twice = await uploads(dataDir, 'end', uploadId);
  assert.equal(twice.code, 1);
  assert.match(twice.stdout, /has ended already: terminated/);
  assert.deepEqual(await jobs(dataDir), { code: 0, stdout: 'There is no job to do.\n', stderr: '' });

  await server.stop();
  const alone = await uploads(dataDir, 'show', uploadId, '--json');
  assert.equal(alone.code, 0, alone.stderr);
  assert.equal(JSON.parse(alone.stdout).uploads[0].state, 'terminated');
});

test('what the commands do not know ends with 2 and says how to use them', async (t) => {
  const dataDir = makeDataDir(t);
  for (const [run, args, problem] of [
    [uploads, ['explode'], /there is no command "explode"/],
    [uploads, ['end', 'not-a-uuid'], /expected ids of uploads/],
    [uploads, ['end'], /takes the id of one upload, found 0/],
    [uploads, ['list', '--state', 'asleep'], /--state: expected one of the states, found "asleep"/],
    [uploads, ['list', '--limit', 'many'], /--limit: expected a number/],
    [uploads, ['acknowledge'], /takes ids of uploads, or --all/],
    [uploads, ['show', '--all'], /--all goes with acknowledge/],
    [jobs, ['retry', 'x'], /expected the id of a job/],
    [jobs, ['list', '--queue', 'x'], /--queue: expected one of upload-completion/],
    [jobs, ['--no-such-option'], /no-such-option/],
  ] as const) {
    const result = await run(dataDir, ...args);
    assert.equal(result.code, 2, args.join(' '));
    assert.match(result.stderr, problem);
    assert.match(result.stderr, /Usage: npm run (uploads|jobs)/);
  }
  const help = await uploads(dataDir, '--help');
  assert.equal(help.code, 0);
  assert.match(help.stdout, /acknowledge ID/);
});
