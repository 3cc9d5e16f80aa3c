/** A roll-out as operators do it: one node after the other, behind the documented nginx, while the stock client uploads. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { UploadOptions } from 'tus-js-client';
import { exchange } from '../support/http-exchange.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { startDocumentedNginx } from './support/documented-nginx.ts';
import { MIB, startNodePair, startRealBucket } from './support/node-pair.ts';
import { Pace, pacedReader } from './support/paced-file.ts';
import { HOST_NAME } from './support/proxy-suite.ts';
import { selfSigned } from './support/self-signed.ts';
import { localTlsAgent, Tally, uploadByStockClient } from './support/stock-client.ts';
import { until } from './support/until.ts';

const UPLOADS = 100;
const ROUNDS = 3;
const SMALL_EVERY_MS = 500;
/** Of downloads that compare the files, which no test of a roll-out has to wait for one by one. */
const AT_ONCE = 8;

/** How tus-js-client may send a file: in one request, in the one that creates it, in many. */
const WAYS = [{}, { uploadDataDuringCreation: true }, { chunkSize: 192 * 1024 }, {}] as const;

interface Sent {
  content: Buffer;
  url: string;
}

test('100 uploads through nginx to two nodes outlast three rolling restarts', async (t) => {
  const pair = await startNodePair(t, await startRealBucket(t), {
    env: { TRUST_PROXY: 'loopback', DRAIN_SECS: '2' },
  });
  const certificate = await selfSigned(t, HOST_NAME);
  const nginx = await startDocumentedNginx({
    nodes: [`127.0.0.1:${pair.a.port}`, `127.0.0.1:${pair.b.port}`],
    certificate,
  });
  if (nginx === null) return t.skip('nginx is not installed');
  t.after(() => nginx.stop());
  const tally = new Tally();
  const agent = localTlsAgent(certificate.pem);
  t.after(() => agent.destroy());
  const upload = (content: Buffer, options?: Partial<UploadOptions>) =>
    uploadByStockClient(content, `https://${HOST_NAME}:${nginx.port}/files`, agent, tally, options);

  const pace = new Pace();
  t.after(() => pace.free());
  const underWay = new Set<number>();
  let ended = 0;
  const startedMs = performance.now();
  const running = Array.from({ length: UPLOADS }, async (_, index): Promise<Sent> => {
    // Most are one object in the end, a few have parts.
    const content = randomBytes(index % 25 === 0 ? 7 * MIB : MIB + index);
    const fileReader = pacedReader(content, pace);
    const onProgress = (sentBytes: number) => sentBytes > 0 && underWay.add(index);
    const url = await upload(content, { fileReader, onProgress, ...WAYS[index % WAYS.length] });
    ended += 1;
    return { content, url };
  });
  const small = keepSending(upload);
  // Whoever fails is told of at the end, not as a rejection that nobody handles.
  const all = Promise.allSettled(running);
  await until('all are under way', () => underWay.size === UPLOADS);

  for (let round = 1; round <= ROUNDS; round++) {
    for (const node of [pair.a, pair.b]) {
      const { stopMs, startMs } = await restart(node);
      t.diagnostic(`round ${round}: ended after ${Math.round(stopMs)} ms, ready again ${Math.round(startMs)} ms later`);
    }
  }
  assert.equal(ended, 0, 'an upload came to its end before the restarts did');
  const restartedMs = performance.now();
  const smallFiles = await small.stop();
  pace.free();
  const settled = await all;
  const failed = settled.flatMap((it) => (it.status === 'rejected' ? [String(it.reason)] : []));
  const resumed = tally.sum((what) => what.startsWith('HEAD'));
  t.diagnostic(
    `${UPLOADS} uploads and ${smallFiles.length} small ones: restarts ${Math.round(restartedMs - startedMs)} ms, ` +
      `all ended ${Math.round(performance.now() - restartedMs)} ms later, resumed ${resumed} times, one upload ` +
      `at most ${tally.mostResumed} times (${tally})`,
  );
  assert.deepEqual([...failed, ...small.failed], []);

  const files = [...(await Promise.all(running)), ...smallFiles];
  for (let first = 0; first < files.length; first += AT_ONCE) {
    await Promise.all(files.slice(first, first + AT_ONCE).map(({ url, content }) => pair.assertFile(url, content)));
  }
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

/** Small files, one after the other: whatever a restart does to a creation, one of them is in it. */
function keepSending(upload: (content: Buffer) => Promise<string>) {
  const sent: Promise<Sent | null>[] = [];
  const failed: string[] = [];
  const send = async (): Promise<Sent | null> => {
    const content = randomBytes(20_000 + sent.length);
    try {
      return { content, url: await upload(content) };
    } catch (error) {
      failed.push(String(error));
      return null;
    }
  };
  const timer = setInterval(() => sent.push(send()), SMALL_EVERY_MS);
  return {
    failed,
    stop: async () => {
      clearInterval(timer);
      return (await Promise.all(sent)).filter((it) => it !== null);
    },
  };
}
