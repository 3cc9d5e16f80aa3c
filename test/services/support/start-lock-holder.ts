import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { RedisLockTimes } from '../../../src/locks/redis-locker.ts';
import { SHORT_TIMES } from './redis-world.ts';

const PROGRAM = fileURLToPath(new URL('./lock-holder.ts', import.meta.url));

export interface LockHolder {
  /** Resolves with the next line that it writes. */
  line(): Promise<string>;
  signal(signal: NodeJS.Signals): void;
  release(): void;
}

/** A node in a process of its own that holds the lock; killed after the test. */
export async function startLockHolder(
  t: TestContext,
  url: string,
  uploadId: string,
  times: Partial<RedisLockTimes>,
): Promise<LockHolder> {
  const args = [PROGRAM, url, uploadId, JSON.stringify({ ...SHORT_TIMES, ...times })];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const holder: LockHolder = {
    line: async () => {
      const next = await lines.next();
      if (next.done) throw new Error('the lock holder has ended');
      return next.value;
    },
    signal: (signal) => {
      child.kill(signal);
    },
    release: () => {
      child.stdin.write('release\n');
    },
  };
  const first = await holder.line();
  if (first !== 'held') throw new Error(`the lock holder said ${first}`);
  return holder;
}
