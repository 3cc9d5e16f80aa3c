/** Postgres restarts, crashes, hangs and is away while two nodes take uploads: clients wait, and nothing is lost or double. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Agent } from 'node:http';
import { type TestContext, test } from 'node:test';
import { type Exchange, exchange } from '../support/http-exchange.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { createUpload, head, patch, post, terminate } from '../support/tus-client.ts';
import { MIB, type NodePair, on, startNodePair, startRealBucket, uploadIdOf } from './support/node-pair.ts';
import { RunningUploads } from './support/running-uploads.ts';
import { until } from './support/until.ts';

const UPLOADS = 24;
const SMALL_EVERY_MS = 200;
const SMALL_AFTERWARDS = 10;
const ACKNOWLEDGED = 1_000;

test('two nodes and their Postgres', async (t) => {
  const pair = await startNodePair(t, await startRealBucket(t));
  const { a, b, postgres } = pair;

  for (const mode of ['fast', 'immediate'] as const) {
    await t.test(`restarted (${mode}): requests wait for it, and no client gives up`, async (t) => {
      const [url, untouched] = [await acknowledged(a), await acknowledged(b)];
      await underLoad(t, pair, async (uploads) => {
        uploads.keepSendingSmall(SMALL_EVERY_MS);
        await postgres.down(mode);
        await Promise.all([untilReady(a, false), untilReady(b, false)]);
        const waiting = Promise.all([
          post(`${b.url}/files`, { 'Upload-Length': 10 }),
          patch(on(b, url), ACKNOWLEDGED, randomBytes(ACKNOWLEDGED)),
          head(on(a, untouched)),
          exchange(`${a.url}/api/files`, { method: 'GET' }),
        ]);
        await postgres.up();
        const answers = await waiting;
        assert.deepEqual(
          answers.map(({ status }) => status),
          [201, 204, 200, 200],
        );
        await Promise.all([untilReady(a, true), untilReady(b, true)]);
        for (const it of [url, String(answers[0].headers.location)]) await terminate(on(a, it));
        const before = uploads.tally.sum((what) => what === 'POST 201');
        const more = () => uploads.tally.sum((what) => what === 'POST 201') >= before + SMALL_AFTERWARDS;
        await until('new uploads are created again', more);
        await uploads.stopSmall();
      });
      await holdsWhatItAcknowledged(pair, untouched);
    });
  }

  await t.test('it hangs: readiness says so, a HEAD is told to come again, and all goes on when it does', async (t) => {
    const url = await acknowledged(a);
    await underLoad(t, pair, async () => {
      postgres.pause();
      try {
        await Promise.all([untilReady(a, false), untilReady(b, false), tellsToComeAgain(423, head(on(b, url)))]);
      } finally {
        postgres.resume();
      }
      await Promise.all([untilReady(a, true), untilReady(b, true)]);
    });
    await holdsWhatItAcknowledged(pair, url);
  });

  await t.test(
    'it is away: readiness says so, a HEAD gets 423, all else 503, each with when to come again',
    async (t) => {
      const urls = await Promise.all([a, b, a, b].map(acknowledged));
      const [forHead, forPatch, forDelete, forGet] = urls as [string, string, string, string];
      await underLoad(t, pair, async () => {
        await postgres.down('immediate');
        await Promise.all([untilReady(a, false), untilReady(b, false)]);
        await Promise.all([
          tellsToComeAgain(423, head(on(b, forHead))),
          tellsToComeAgain(503, patch(on(a, forPatch), ACKNOWLEDGED, randomBytes(10))),
          tellsToComeAgain(503, post(`${b.url}/files`, { 'Upload-Length': 10 })),
          tellsToComeAgain(503, terminate(on(a, forDelete))),
          tellsToComeAgain(503, exchange(on(b, forGet), { method: 'GET' })),
          tellsToComeAgain(503, exchange(`${a.url}/api/files`, { method: 'GET' })),
        ]);
        for (const node of [a, b]) {
          assert.equal(
            (await exchange(`${node.url}/livez`, { method: 'GET' })).status,
            200,
            'a restart would not help',
          );
        }
        await postgres.up();
        await Promise.all([untilReady(a, true), untilReady(b, true)]);
      });
      for (const url of urls) await holdsWhatItAcknowledged(pair, url);
    },
  );

  await pair.assertNothingElse();
  // The one error that an outage is worth: readiness tells it.
  const errors = [...a.loggedErrors(), ...b.loggedErrors()];
  const unexpected = errors.filter((line) => !line.includes('the database does not answer: this node is not ready'));
  assert.deepEqual(unexpected, []);
});

/** Uploads run at both nodes while `trouble` happens; then they come to their end, each as exactly one file. */
async function underLoad(
  t: TestContext,
  pair: NodePair,
  trouble: (uploads: RunningUploads) => Promise<void>,
): Promise<void> {
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const uploads = new RunningUploads(agent, [`${pair.a.url}/files`, `${pair.b.url}/files`]);
  t.after(() => uploads.abandon());
  await uploads.start(UPLOADS, (index) => (index % 5 === 0 ? 11 * MIB : MIB + index));
  const startedMs = performance.now();
  await trouble(uploads);
  uploads.assertRunning();
  t.diagnostic(`${Math.round(performance.now() - startedMs)} ms; ${uploads.tally}`);
  const files = await uploads.finish();
  await pair.assertFiles(files);
  const { rows } = await pair.catalog.query('SELECT count(*)::int AS records FROM files');
  assert.equal(rows[0].records, files.length, 'a file has two records');
  t.diagnostic(`at the end: ${uploads.tally}`);
  for (const { url } of files) assert.equal((await terminate(on(pair.a, url))).status, 204);
  await endUnknownCreations(
    pair,
    uploads.tally.sum((what) => /^POST (503|lost)$/.test(what)),
  );
}

/**
 * A creation that was committed and whose answer was lost with the database is an upload that no client knows. It
 * would expire; there can be no more of them than creations that were answered by something else than an address.
 */
async function endUnknownCreations({ a, catalog }: NodePair, atMost: number): Promise<void> {
  const { rows } = await catalog.query("SELECT id FROM uploads WHERE state = 'open' AND offset_bytes <> $1", [
    ACKNOWLEDGED,
  ]);
  assert.ok(rows.length <= atMost, `${rows.length} uploads that nobody knows, ${atMost} creations without an answer`);
  for (const { id } of rows) assert.equal((await terminate(`${a.url}/files/${id}`)).status, 204);
}

/** An upload of which a part is there for certain. */
async function acknowledged(node: ServerProcess): Promise<string> {
  const url = await createUpload(`${node.url}/files`, 2 * ACKNOWLEDGED);
  assert.equal((await patch(url, 0, randomBytes(ACKNOWLEDGED))).status, 204);
  return url;
}

async function holdsWhatItAcknowledged({ a, b }: NodePair, url: string): Promise<void> {
  for (const node of [a, b]) {
    assert.equal((await head(on(node, url))).headers['upload-offset'], String(ACKNOWLEDGED), uploadIdOf(url));
  }
  assert.equal((await patch(on(b, url), ACKNOWLEDGED, randomBytes(ACKNOWLEDGED))).status, 204);
  assert.equal((await terminate(on(a, url))).status, 204);
}

async function tellsToComeAgain(status: number, asked: Promise<Exchange>): Promise<void> {
  const answer = await asked;
  assert.equal(answer.status, status, answer.body.toString());
  assert.ok(Number(answer.headers['retry-after']) > 0, `no Retry-After: ${answer.body}`);
}

/** By itself: nobody does anything to the node. */
async function untilReady(node: ServerProcess, ready: boolean): Promise<void> {
  await until(`readiness is ${ready}`, async () => {
    const { status, body } = await exchange(`${node.url}/readyz`, { method: 'GET' });
    const report = JSON.parse(body.toString());
    assert.deepEqual([status, report.ready], report.down.length === 0 ? [200, true] : [503, false]);
    return report.ready === ready && (ready || report.down.includes('database'));
  });
}
