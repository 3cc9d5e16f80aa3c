/** A roll-out as operators do it: one node after the other, behind the documented nginx, while the stock client uploads. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exchange } from '../support/http-exchange.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { startDocumentedNginx } from './support/documented-nginx.ts';
import { MIB, startNodePair, startRealBucket } from './support/node-pair.ts';
import { HOST_NAME } from './support/proxy-suite.ts';
import { RunningUploads } from './support/running-uploads.ts';
import { selfSigned } from './support/self-signed.ts';
import { localTlsAgent } from './support/stock-client.ts';
import { until } from './support/until.ts';

const UPLOADS = 100;
const ROUNDS = 3;
const SMALL_EVERY_MS = 500;

test('100 uploads through nginx to two nodes outlast three rolling restarts', async (t) => {
  const pair = await startNodePair(t, await startRealBucket(t), {
    env: { TRUST_PROXY: 'loopback', ALLOWED_HOSTS: HOST_NAME, DRAIN_SECS: '2' },
  });
  const certificate = await selfSigned(t, HOST_NAME);
  const nginx = await startDocumentedNginx({
    nodes: [`127.0.0.1:${pair.a.port}`, `127.0.0.1:${pair.b.port}`],
    certificate,
  });
  if (nginx === null) return t.skip('nginx is not installed');
  t.after(() => nginx.stop());
  const agent = localTlsAgent(certificate.pem);
  t.after(() => agent.destroy());

  const uploads = new RunningUploads(agent, [`https://${HOST_NAME}:${nginx.port}/files`]);
  t.after(() => uploads.abandon());
  // Most are one object in the end, a few have parts.
  await uploads.start(UPLOADS, (index) => (index % 25 === 0 ? 7 * MIB : MIB + index));
  uploads.keepSendingSmall(SMALL_EVERY_MS);
  const startedMs = performance.now();
  for (let round = 1; round <= ROUNDS; round++) {
    for (const node of [pair.a, pair.b]) {
      const { stopMs, startMs } = await restart(node);
      t.diagnostic(`round ${round}: ended after ${Math.round(stopMs)} ms, ready again ${Math.round(startMs)} ms later`);
    }
  }
  const small = await uploads.stopSmall();
  uploads.assertRunning();
  const restartedMs = performance.now();
  const files = await uploads.finish();
  const { tally } = uploads;
  t.diagnostic(
    `${UPLOADS} uploads and ${small} small ones, ${Math.round(restartedMs - startedMs)} ms of restarts, ` +
      `all ended ${Math.round(performance.now() - restartedMs)} ms later; ` +
      `resumed ${tally.sum((what) => what.startsWith('HEAD'))} times, one upload at most ${tally.mostResumed} times (${tally})`,
  );

  await pair.assertFiles(files);
  const { rows } = await pair.catalog.query('SELECT count(*)::int AS uploads FROM uploads');
  assert.equal(rows[0].uploads, files.length, 'an upload was begun anew');
  await pair.assertNothingElse();
  assert.deepEqual([...pair.a.loggedErrors(), ...pair.b.loggedErrors()], []);
});

/** As an operator's script: asks it to end, starts it when it has, and waits until it says that it is ready. */
async function restart(node: ServerProcess): Promise<{ stopMs: number; startMs: number }> {
  const askedMs = performance.now();
  assert.deepEqual(await node.stop(), { code: 0, signal: null }, node.output);
  const endedMs = performance.now();
  await node.start();
  await until('it is ready', async () => (await exchange(`${node.url}/readyz`, { method: 'GET' })).status === 200);
  return { stopMs: endedMs - askedMs, startMs: performance.now() - endedMs };
}
