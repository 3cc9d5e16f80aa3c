import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { lockDataDir } from '../../src/catalog/data-dir-lock.ts';
import { StartError } from '../../src/errors.ts';

const LOCK_MODULE = new URL('../../src/catalog/data-dir-lock.ts', import.meta.url).href;
const NOBODY = 65_534;

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tus-relay-lock-'));
  t.after(() => {
    chmodSync(folder, 0o755);
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/**
 * Another process that tries to take the folder, says in one line what came of it, and then keeps it until it is ended.
 *
 * @param before run in the child when the module is loaded
 */
async function lockElsewhere(t: TestContext, folder: string, before = '') {
  const script = `
    const { lockDataDir } = await import(${JSON.stringify(LOCK_MODULE)});
    ${before}
    try {
      globalThis.lock = lockDataDir(${JSON.stringify(folder)});
      console.log('locked');
      setInterval(() => {}, 60_000);
    } catch (error) {
      console.log(error.name + ': ' + error.message);
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => end(child, 'SIGKILL'));
  const [said] = await once(child.stdout.setEncoding('utf8'), 'data');
  return { child, said: String(said).trim() };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, 'exit');
}

test('the folder is made when it is not there, and free again when it is released', (t) => {
  const folder = join(temporaryFolder(t), 'a', 'b');
  const lock = lockDataDir(folder);
  assert.equal(lock.dataDir, folder);
  assert.throws(() => lockDataDir(folder), StartError);
  lock.release();
  lock.release();
  lockDataDir(folder).release();
});

test('a second process is refused in one sentence that names the folder and who has it', async (t) => {
  const folder = temporaryFolder(t);
  const { child, said } = await lockElsewhere(t, folder);
  assert.equal(said, 'locked');
  assert.throws(
    () => lockDataDir(folder),
    (error) => {
      assert.ok(error instanceof StartError);
      assert.ok(error.message.includes(folder) && error.message.includes(`pid ${child.pid}`), error.message);
      return true;
    },
  );
  const { said: third } = await lockElsewhere(t, folder);
  assert.match(third, /^DataDirInUseError: the data folder .* is in use/);
});

test('a refused server changes nothing for the one that is running', async (t) => {
  const folder = temporaryFolder(t);
  const lock = lockDataDir(folder);
  t.after(() => lock.release());
  for (let tries = 0; tries < 2; tries += 1) {
    assert.match((await lockElsewhere(t, folder)).said, /in use/);
    assert.equal(readFileSync(join(folder, 'server.pid'), 'utf8'), `${process.pid}\n`);
  }
});

test('a killed server leaves nothing behind that is in the next one’s way', async (t) => {
  const folder = temporaryFolder(t);
  for (let kills = 0; kills < 3; kills += 1) {
    const { child, said } = await lockElsewhere(t, folder);
    assert.equal(said, 'locked');
    await end(child, 'SIGKILL');
  }
  const lock = lockDataDir(folder);
  assert.equal(readFileSync(join(folder, 'server.pid'), 'utf8'), `${process.pid}\n`);
  lock.release();
  assert.deepEqual(readdirSync(folder), ['server.lock']);
});

test('the name of the folder may end in a slash or be written in another way: it is the same lock', (t) => {
  const folder = temporaryFolder(t);
  const lock = lockDataDir(`${folder}/`);
  assert.throws(() => lockDataDir(join(folder, '..', folder.split('/').at(-1) ?? '')), StartError);
  lock.release();
});

test('a file where the folder should be, or a folder where the lock should be: one sentence', (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'file');
  writeFileSync(file, '');
  for (const path of [file, join(file, 'below')]) {
    assert.throws(
      () => lockDataDir(path),
      (error) => error instanceof StartError && / cannot be written: [a-z ,]+ \(E[A-Z]+\)$/.test(error.message),
    );
  }
  const odd = join(folder, 'odd');
  mkdirSync(join(odd, 'server.lock'), { recursive: true });
  assert.throws(() => lockDataDir(odd), /the data folder .* cannot be written/);
});

test('a folder without leave to write is named', async (t) => {
  const folder = temporaryFolder(t);
  chmodSync(folder, 0o555);
  // Root may write everywhere: it has to become somebody else first.
  const before = process.getuid?.() === 0 ? `process.seteuid(${NOBODY});` : '';
  const { said } = await lockElsewhere(t, folder, before);
  assert.match(said, /^StartError: the data folder .* cannot be written/);
  assert.equal(existsSync(join(folder, 'server.lock')), false);
});

test('a lock file without leave to write is named, too', async (t) => {
  const folder = temporaryFolder(t);
  lockDataDir(folder).release();
  chmodSync(join(folder, 'server.lock'), 0o444);
  chmodSync(folder, 0o555);
  const before = process.getuid?.() === 0 ? `process.seteuid(${NOBODY});` : '';
  const { said } = await lockElsewhere(t, folder, before);
  assert.match(said, /^StartError: the data folder .* cannot be written/);
});
