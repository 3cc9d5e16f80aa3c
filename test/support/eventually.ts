import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 50;

/**
 * Asks again and again until the answer is not undefined.
 *
 * @param what for the message when it never comes
 */
export async function eventually<T>(what: string, ask: () => Promise<T | undefined>, withinMs = 60_000): Promise<T> {
  const until = Date.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > until) throw new Error(`${what}: not after ${withinMs} ms`);
    await sleep(POLL_MS);
  }
}
