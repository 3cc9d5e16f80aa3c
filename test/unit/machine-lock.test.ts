import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MachineLock } from '../../src/pipeline/machine-lock.ts';

const MODULE = new URL('../../src/pipeline/machine-lock.ts', import.meta.url).href;
const NEVER = new AbortController().signal;

function lockPath(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tus-relay-lock-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'lock');
}

test('one at a time within a process, whoever made the lock', async (t) => {
  const path = lockPath(t);
  let [holding, most, held] = [0, 0, 0];
  const holdOnce = async () => {
    const letGo = await new MachineLock(path).take(NEVER);
    holding += 1;
    held += 1;
    most = Math.max(most, holding);
    await new Promise((resolve) => setImmediate(resolve));
    holding -= 1;
    letGo();
  };
  await Promise.all([holdOnce(), holdOnce(), holdOnce()]);
  assert.deepEqual([most, held], [1, 3]);
});

test('another process waits for it, and has it when its holder is killed', async (t) => {
  const path = lockPath(t);
  const script = `
    const { MachineLock } = await import(${JSON.stringify(MODULE)});
    await new MachineLock(${JSON.stringify(path)}).take(new AbortController().signal);
    console.log('held');
    setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
  const lock = new MachineLock(path);
  const tooLong = new AbortController();
  const waiting = lock.take(tooLong.signal);
  tooLong.abort();
  await assert.rejects(waiting, { name: 'AbortError' });
  const next = lock.take(NEVER);
  holder.kill('SIGKILL');
  (await next)();
});
