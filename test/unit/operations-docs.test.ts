/** Numbers and words of docs/operations.md and docs/metrics.md that follow from the program. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import pg from 'pg';
import { loadConfig } from '../../src/config.ts';
import { S3Retry } from '../../src/relay/s3-retry.ts';
import { S3Error } from '../../src/s3/s3-errors.ts';
import { impatientClock } from '../support/test-relay.ts';

const callMs = loadConfig({}).config.s3CallSecs * 1_000;
const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

async function triesAndWaits(chance: number): Promise<[tries: number, waitSecs: number]> {
  const clock = { ...impatientClock(), random: () => chance };
  let tries = 0;
  const call = () => {
    tries += 1;
    return Promise.reject(new S3Error('PutObject', 'SlowDown', 503, 'unknown'));
  };
  await assert.rejects(new S3Retry(clock, { callMs }).run(call));
  return [tries, Math.round(clock.now() / 1_000)];
}

test('how often and how long a call to S3 is tried is said in one place, as it is', async () => {
  const said = /each call is tried (\d+) times, with (\d+) to (\d+) s of waiting between/;
  const [, tries, least, most] = said.exec(read('docs/operations.md')) ?? [];
  assert.deepEqual(await triesAndWaits(0), [Number(tries), Number(least)]);
  assert.deepEqual(await triesAndWaits(1), [Number(tries), Number(most)]);
  const calls = /`S3_CALL_SECS` \((\d+) s\)/.exec(read('docs/operations.md'));
  assert.equal(Number(calls?.[1]) * 1_000, callMs);
  for (const page of ['docs/metrics.md', 'README.md', 'docs/s3.md', 'docs/nginx.md'])
    assert.doesNotMatch(read(page), /\b(\d+|eight|nine|ten|eleven) (times|tries)\b.*(S3|waits)/, page);
});

test('what sslmode in DATABASE_URL does is what the guide says', () => {
  const tlsOf = (query: string): unknown => new pg.Client({ connectionString: `postgres://u:p@db/relay${query}` }).ssl;
  assert.match(read('docs/operations.md'), /Without `sslmode` in `DATABASE_URL` the connection is not encrypted/);
  assert.equal(Boolean(tlsOf('')), false);
  // Nothing that takes Node's own checks of the certificate and the name away.
  for (const mode of ['verify-full', 'require', 'prefer', 'verify-ca']) {
    assert.deepEqual({ ...(tlsOf(`?sslmode=${mode}`) as object) }, {}, mode);
  }
  assert.deepEqual({ ...(tlsOf('?sslmode=no-verify') as object) }, { rejectUnauthorized: false });
});

test('a node that answers nothing has an alarm', () => {
  const alarms = read('docs/metrics.md').split('## Alarms to begin with')[1] ?? '';
  const job = /job_name: (\S+)/.exec(read('docs/metrics.md'))?.[1];
  assert.ok(alarms.includes(`up{job="${job}"} == 0`));
});
