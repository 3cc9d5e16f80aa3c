/** The primary and its workers as real processes, with a program that needs no services. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { restartDelayMs } from '../../src/app/workers-backoff.ts';
import { mergeMetrics } from '../../src/app/workers-metrics.ts';
import { exchange } from '../support/http-exchange.ts';
import { prepareServer, type ServerProcess } from '../support/server-process.ts';

const PROGRAM = 'test/support/workers-program.ts';

interface Who {
  number: string;
  pid: number;
}

async function startWorkers(t: TestContext, env: Record<string, string> = {}): Promise<ServerProcess> {
  const server = await prepareServer(t, { entry: PROGRAM, env });
  await server.start();
  return server;
}

async function ask(server: ServerProcess): Promise<Who> {
  return JSON.parse((await exchange(`${server.url}/who`, { method: 'GET' })).body.toString());
}

/** Asks, as clients do it: until the answers are of the kind. */
async function askUntil(server: ServerProcess, isEnough: (seen: Map<string, Set<number>>) => boolean) {
  const seen = new Map<string, Set<number>>();
  for (;;) {
    const { number, pid } = await ask(server);
    seen.set(number, (seen.get(number) ?? new Set()).add(pid));
    if (isEnough(seen)) return seen;
    await sleep(10);
  }
}

const bothServe = (seen: Map<string, Set<number>>) => seen.size === 2;

async function isGone(pid: number): Promise<boolean> {
  for (let tries = 0; tries < 500; tries++) {
    try {
      process.kill(pid, 0);
    } catch {
      return true;
    }
    await sleep(20);
  }
  return false;
}

test('the workers share one port, and one text tells when all of them serve', async (t) => {
  const server = await startWorkers(t);
  const seen = await askUntil(server, bothServe);
  assert.deepEqual([...seen.keys()].sort(), ['1', '2']);
  assert.equal(server.output.match(/Page/g)?.length, 1);
});

test('a worker that is killed, or ends by itself, is replaced under its number, while the other serves', async (t) => {
  const server = await startWorkers(t);
  const seen = await askUntil(server, bothServe);
  const [victim] = seen.get('2') as Set<number>;
  process.kill(victim as number, 'SIGKILL');
  const replaced = await askUntil(server, (later) => [...(later.get('2') ?? [])].some((pid) => pid !== victim));
  const known = [...seen.values(), ...replaced.values()].flatMap((pids) => [...pids]);
  await assert.rejects(exchange(`${server.url}/exit`, { method: 'GET' }));
  await askUntil(server, (later) => [...later.values()].some((pids) => [...pids].some((pid) => !known.includes(pid))));
  await server.stop();
  assert.match(server.output, /"worker":2,"code":null,"signal":"SIGKILL".*started again/);
  assert.match(server.output, /"code":7,"signal":null.*started again/);
});

test('a signal is handed on: what is under way is answered, and the whole ends with 0', async (t) => {
  const server = await startWorkers(t);
  const answers = await Promise.all(
    [1, 2, 3, 4].map(async () => {
      const [response] = await once(get(`${server.url}/held`, { agent: false }), 'response');
      return { body: text(response) };
    }),
  );
  const exit = await server.stop();
  for (const { body } of answers) assert.equal(await body, 'held…let go');
  assert.equal(exit.code, 0);
});

test('a worker that does not end is killed in the end, and the exit code says that something was wrong', async (t) => {
  const server = await startWorkers(t, { STUBBORN: '1', STOP_WITHIN_MS: '300' });
  const exit = await server.stop();
  assert.equal(exit.code, 1);
  assert.match(server.output, /did not end in time are killed/);
});

for (const failing of ['1', '2']) {
  test(`worker ${failing} cannot start: nothing is left running, and the reason is said once`, async (t) => {
    const server = await prepareServer(t, { entry: PROGRAM, env: { FAILING: failing } });
    await assert.rejects(server.start(), /ended with 1/);
    assert.equal(server.output.match(/cannot start/g)?.length, 1);
  });
}

test('no worker outlives a primary that is killed', async (t) => {
  const server = await startWorkers(t);
  const pids = [...(await askUntil(server, bothServe)).values()].flatMap((it) => [...it]);
  server.child.kill('SIGKILL');
  for (const pid of pids) assert.ok(await isGone(pid), `worker ${pid} is still there`);
});

test('whichever worker is asked tells the metrics of all, each under its own number', async (t) => {
  const server = await startWorkers(t);
  await askUntil(server, bothServe);
  const body = (await exchange(`${server.url}/metrics`, { method: 'GET' })).body.toString();
  assert.match(body, /^asked_total\{worker="1"\} [1-9]/m);
  assert.match(body, /^asked_total\{worker="2"\} [1-9]/m);
  assert.equal(body.match(/^# HELP asked_total /gm)?.length, 1);
  assert.match(body, /^tus_relay_workers\{state="serving"\} 2$/m);
  assert.match(body, /^tus_relay_worker_restarts_total 0$/m);
});

test('merged metrics keep the lines of a metric together', () => {
  const of = (worker: number) =>
    `# HELP a A.\n# TYPE a counter\na{worker="${worker}"} 1\n\n# HELP b B.\n# TYPE b histogram\nb_bucket{le="1",worker="${worker}"} 2\nb_sum{worker="${worker}"} 3\n`;
  assert.equal(
    mergeMetrics([of(1), of(2)]),
    [
      '# HELP a A.',
      '# TYPE a counter',
      'a{worker="1"} 1',
      'a{worker="2"} 1',
      '',
      '# HELP b B.',
      '# TYPE b histogram',
      'b_bucket{le="1",worker="1"} 2',
      'b_sum{worker="1"} 3',
      'b_bucket{le="1",worker="2"} 2',
      'b_sum{worker="2"} 3',
      '',
    ].join('\n'),
  );
});

test('a worker that lived long is replaced at once, one that dies young waits longer each time, up to half a minute', () => {
  assert.deepEqual([0, 1, 2, 3, 6, 7, 50].map(restartDelayMs), [0, 500, 1_000, 2_000, 16_000, 30_000, 30_000]);
});
