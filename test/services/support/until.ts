import { setTimeout as sleep } from 'node:timers/promises';

const WITHIN_MS = 20_000;

/** @throws Error when it has not come true in time */
export async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + WITHIN_MS;
  while (!(await isTrue())) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await sleep(10);
  }
}
