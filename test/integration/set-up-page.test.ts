/** The set-up before `npm start`, in a copy of the repository: when it builds the page, and when it does not. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

test('the page is built once, again only from other sources, and a copy with other times is the same', (t) => {
  const copy = mkdtempSync(join(tmpdir(), 'tus-relay-set-up-'));
  t.after(() => rmSync(copy, { recursive: true, force: true, maxRetries: 3 }));
  for (const name of ['scripts', 'client', 'package.json', 'package-lock.json', 'tsconfig.json']) {
    const isSource = (path: string) => !path.startsWith(join(ROOT, 'client', 'dist'));
    cpSync(join(ROOT, name), join(copy, name), { recursive: true, filter: isSource });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  const setUp = () => {
    const done = spawnSync(process.execPath, ['scripts/set-up.mjs', '--page'], { cwd: copy, encoding: 'utf8' });
    assert.equal(done.status, 0, done.stderr);
    return /building the web page/.test(done.stderr);
  };
  assert.equal(setUp(), true, 'the first time');
  assert.equal(setUp(), false, 'the second time');
  const soon = new Date(Date.now() + 3_600_000);
  for (const name of readdirSync(join(copy, 'client', 'src')))
    utimesSync(join(copy, 'client', 'src', name), soon, soon);
  assert.equal(setUp(), false, 'after its times have changed');
  appendFileSync(join(copy, 'client', 'index.html'), '<!-- changed -->');
  assert.equal(setUp(), true, 'after its sources have changed');
});
