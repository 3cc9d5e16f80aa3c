/**
 * A node in a process of its own, for tests that pause or kill it: `lock-holder.ts URL UPLOAD TIMES`. It takes the
 * lock and writes a line for all that happens; a line on stdin makes it release.
 */
import { once } from 'node:events';
import { RedisLocker } from '../../../src/locks/redis-locker.ts';

const [url = '', uploadId = '', times = '{}'] = process.argv.slice(2);
const quiet = { info: () => {}, warn: () => {}, error: () => {} };
const locker = await RedisLocker.open(url, quiet, JSON.parse(times));
const release = await locker.acquire({ uploadId, onReleaseRequested: () => say('asked') });
say('held');
await once(process.stdin, 'data');
await release();
say(`released, lost ${locker.counters.lost}`);
await locker.close();
process.stdin.destroy();

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
