import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

// It used to end with 1, which npm reports as a failure.
test('`npm run dev` ends with 0 on Ctrl-C', { skip: process.platform === 'win32' }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tus-relay-dev-'));
  t.after(() => rmSync(dataDir, { recursive: true, force: true, maxRetries: 3 }));
  const dev = spawn(process.execPath, ['scripts/dev.ts'], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: { ...process.env, DATA_DIR: dataDir, PORT: '0', DEV_S3_PORT: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A terminal sends Ctrl-C to the whole group.
    detached: true,
  });
  const closed = once(dev, 'close');
  t.after(() => dev.exitCode ?? process.kill(-(dev.pid as number), 'SIGKILL'));
  let said = '';
  dev.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    if (said.includes('tus endpoint')) ready.resolve();
  });
  const ready = Promise.withResolvers<void>();
  await Promise.race([ready.promise, closed]);
  process.kill(-(dev.pid as number), 'SIGINT');
  const [code] = await closed;
  assert.equal(code, 0, said);
});
