/** Many clients send while S3 takes nothing: what nobody has room for stays with them, and goes on when S3 does. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type DevS3Process, startDevS3Process } from '../support/dev-s3-process.ts';
import { eventually } from '../support/eventually.ts';
import { type Scrape, scrape } from '../support/read-metrics.ts';
import { type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { patternBytes } from '../support/test-relay.ts';
import { createUpload, head, openPatch, patch, post } from '../support/tus-client.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const BUFFER_BYTES = 16 * MIB;
const CLIENTS = 250;
const CONTENT = patternBytes(MIB);
/** Requests of the test itself, and the headers. */
const SLACK_BYTES = 2 * MIB;

test('while S3 takes nothing, no more is read from many clients than the budget has room for', async (t) => {
  const s3 = await startS3(t);
  const server = await startServer(t, s3, { SPILL_BYTES: '0' });
  const urls = await createUploads(server, CLIENTS);
  await s3.control({ rules: [{ operation: 'PutObject', action: { kind: 'hang', when: 'start' } }] });
  const before = await scrape(server.url);
  const clients = await sendAll(server, urls);
  const figures = await settled(server, before);
  assert.ok(figures.received <= BUFFER_BYTES + SLACK_BYTES, `${figures.received} bytes were read`);
  assert.ok(figures.received > BUFFER_BYTES / 4, 'the budget is used');
  assert.ok(figures.used <= BUFFER_BYTES);
  assert.equal(figures.spilled, 0, 'with SPILL_BYTES=0 nothing goes to the disk');

  // Those who wait for bodies do not keep anybody from asking.
  assert.equal((await head(urls[0] as string)).status, 423, 'its writer is asked to let go, which needs S3');
  assert.equal((await post(`${server.url}/files`, { 'Upload-Length': 3 })).status, 201);

  await s3.control({ clear: true });
  for (const client of clients) client.vanish();
  await eventually('all memory is given back', async () =>
    (await scrape(server.url)).find('tus_relay_buffer_in_flight_bytes') === 0 ? true : undefined,
  );
  assert.deepEqual(server.loggedErrors(), []);
});

test('they all end when S3 takes bytes again, one turn after the other, beside clients who send nothing', async (t) => {
  const s3 = await startS3(t);
  const server = await startServer(t, s3, { SPILL_BYTES: '0' });
  const urls = await createUploads(server, 100);
  const silent = await Promise.all((await createUploads(server, 60)).map((url) => openPatch(url, 0, CONTENT.length)));
  for (const client of silent) await client.send(CONTENT.subarray(0, 1));
  await s3.control({ rules: [{ operation: 'PutObject', action: { kind: 'hang', when: 'start' } }] });
  const before = await scrape(server.url);
  const clients = await sendAll(server, urls);
  const { received } = await settled(server, before);
  assert.ok(received < 100 * MIB, 'some wait');
  await s3.control({ clear: true });
  const answers = await Promise.all(clients.map((client) => client.answer()));
  assert.ok(
    answers.every(({ status }) => status === 204),
    String(answers.map(({ status }) => status)),
  );
  for (const client of silent) client.vanish();
  assert.deepEqual(server.loggedErrors(), []);
});

test('with SPILL_BYTES the files grow to that and no further, and what is in them is stored afterwards', async (t) => {
  const s3 = await startS3(t);
  const server = await startServer(t, s3, { SPILL_BYTES: '24MiB', PART_BYTES: '8MiB' });
  const content = patternBytes(6 * MIB);
  const urls = await createUploads(server, 20, content.length);
  await s3.control({ rules: [{ operation: 'PutObject', action: { kind: 'hang', when: 'start' } }] });
  const before = await scrape(server.url);
  const clients = await sendAll(server, urls, content);
  const { received, spilled } = await settled(server, before);
  const limit = (await scrape(server.url)).find('tus_relay_spill_limit_bytes');
  assert.equal(limit, 24 * MIB);
  assert.ok(spilled > 12 * MIB && spilled <= 24 * MIB, `${spilled} bytes are in files`);
  assert.ok(received <= BUFFER_BYTES + 24 * MIB + SLACK_BYTES, `${received} bytes were read`);
  assert.ok(((await scrape(server.url)).find('tus_relay_spill_refusals_total') ?? 0) > 0);
  assert.equal((await scrape(server.url)).find('tus_relay_spill_failures_total'), 0);
  await s3.control({ clear: true });
  // Whose call to S3 hung for too long is told to come again.
  await Promise.all(
    clients.map(async (client, i) => {
      const { status } = await client.answer();
      if (status === 204) return;
      assert.equal(status, 503);
      const url = urls[i] as string;
      await eventually('it is stored', async () => {
        const { status: looked, headers } = await head(url);
        if (looked !== 200) return undefined;
        const offset = Number(headers['upload-offset']);
        return (await patch(url, offset, content.subarray(offset))).status === 204 ? true : undefined;
      });
    }),
  );
  await eventually('the files are gone', async () =>
    (await scrape(server.url)).find('tus_relay_spill_bytes') === 0 ? true : undefined,
  );
});

async function startS3(t: TestContext): Promise<DevS3Process> {
  const dataDir = await mkdtemp(join(tmpdir(), 'waiting-s3-'));
  const s3 = await startDevS3Process({ dataDir, bucket: 'waiting-clients' });
  t.after(async () => {
    await s3.end('SIGKILL');
    await rm(dataDir, { recursive: true, force: true });
  });
  return s3;
}

function startServer(t: TestContext, s3: DevS3Process, env: Record<string, string>): Promise<ServerProcess> {
  return startServerProcess(t, {
    env: {
      ...{ S3_BUCKET: 'waiting-clients', S3_ENDPOINT: s3.url, AWS_REGION: s3.region },
      AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
      ...{ BUFFER_BYTES: String(BUFFER_BYTES), LOG_LEVEL: 'error', IDLE_BODY_SECS: '600', ...env },
    },
  });
}

async function createUploads(server: ServerProcess, count: number, bytes = CONTENT.length): Promise<string[]> {
  const urls: string[] = [];
  // PGlite is one connection: all at once would only be waited for.
  while (urls.length < count) urls.push(await createUpload(`${server.url}/files`, bytes));
  return urls;
}

/** Each sends its headers, and then, when the server has read them all, as far as its socket lets it. */
async function sendAll(server: ServerProcess, urls: readonly string[], content: Buffer = CONTENT) {
  const running = async () => (await scrape(server.url)).find('tus_relay_http_requests_running{area="tus"}') ?? 0;
  const before = await running();
  const clients = await Promise.all(urls.map((url) => openPatch(url, 0, content.length)));
  await eventually('all requests are there', async () =>
    (await running()) === before + urls.length ? true : undefined,
  );
  for (const client of clients) void client.send(content).catch(() => {});
  return clients;
}

/** What the server has read since, when it reads no more. */
async function settled(server: ServerProcess, before: Scrape) {
  let last = 0;
  return eventually('it reads no more', async () => {
    // Longer than the claims of the clients may lie apart.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const now = await scrape(server.url);
    const of = (name: string) => now.find(name) ?? 0;
    const received = of(RECEIVED) - (before.find(RECEIVED) ?? 0);
    // Asking is itself a request.
    const isSettled = received - last < 16 * KIB;
    last = received;
    if (!isSettled || received < BUFFER_BYTES / 4) return undefined;
    return { received, used: of('tus_relay_buffer_used_bytes'), spilled: of('tus_relay_spill_bytes') };
  });
}

const RECEIVED = 'tus_relay_http_received_bytes_total';
