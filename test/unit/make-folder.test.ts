import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeFolder } from '../../src/make-folder.ts';

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tus-relay-folder-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('makes every level that is missing, the last one with the mode, and is content with what is there', (t) => {
  const root = temporaryFolder(t);
  const path = join(root, 'a', 'b', 'c');
  for (let times = 0; times < 2; times += 1) makeFolder(path, 0o700);
  assert.equal(statSync(path).mode & 0o777, 0o700);
  makeFolder(`${join(root, 'd', 'e')}/`);
  assert.ok(statSync(join(root, 'd', 'e')).isDirectory());
  symlinkSync(path, join(root, 'link'));
  makeFolder(join(root, 'link'));
  makeFolder('/');
});

test('a file, or a link to nowhere, where a folder should be is an error', (t) => {
  const root = temporaryFolder(t);
  writeFileSync(join(root, 'file'), '');
  symlinkSync(join(root, 'nowhere'), join(root, 'link'));
  assert.throws(() => makeFolder(join(root, 'file')), { code: 'EEXIST' });
  assert.throws(() => makeFolder(join(root, 'file', 'below', 'it')), { code: 'ENOTDIR' });
  assert.throws(() => makeFolder(join(root, 'link')), { code: 'EEXIST' });
  assert.throws(() => makeFolder(join(root, 'link', 'below')), { code: /ENOENT|EEXIST/ });
});

test('where nothing can be made it fails instead of trying for ever', { skip: process.platform !== 'linux' }, () => {
  for (const path of ['/proc/tus-relay', '/proc/tus-relay/a/b']) {
    assert.throws(() => makeFolder(path), { code: 'ENOENT', path: '/proc/tus-relay' });
  }
});
