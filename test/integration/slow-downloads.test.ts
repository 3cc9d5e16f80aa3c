/** Clients that do not read what they have asked for, at a real server: uploads are none of their business. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { exchange } from '../support/http-exchange.ts';
import { openDownload } from '../support/open-download.ts';
import { scrape } from '../support/read-metrics.ts';
import { type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { patternBytes } from '../support/test-relay.ts';
import { createUpload, patch } from '../support/tus-client.ts';

const MIB = 2 ** 20;
/** Much more than the system takes for a client that does not read. */
const FILE_BYTES = 40 * MIB;
const SMALL = patternBytes(64 * 1024);

/** @returns the address of its content */
async function storeFile(server: ServerProcess, bytes: Uint8Array): Promise<string> {
  const url = await createUpload(`${server.url}/files`, bytes.length);
  assert.equal((await patch(url, 0, bytes)).status, 204);
  return `${server.url}/api/files/${url.split('/').at(-1)}/content`;
}

async function openMany(t: TestContext, url: string, count: number) {
  const downloads = await Promise.all(Array.from({ length: count }, () => openDownload(url)));
  t.after(() => {
    for (const { socket } of downloads) socket.destroy();
  });
  for (const download of downloads) assert.equal(await download.status(), 200);
  return downloads;
}

test('256 clients that do not read their download hinder no upload, and the next one is told to wait', async (t) => {
  const server = await startServerProcess(t, { env: { IDLE_BODY_SECS: '600' } });
  const url = await storeFile(server, patternBytes(FILE_BYTES));
  const [first] = await openMany(t, url, 256);
  assert.equal((await scrape(server.url)).find('tus_relay_downloads_open'), 256);

  const busy = await exchange(url, { method: 'GET' });
  assert.equal(busy.status, 503);
  assert.ok(Number(busy.headers['retry-after']) > 0);
  assert.equal(JSON.parse(busy.body.toString()).code, 'downloads_busy');
  assert.equal(busy.headers['content-disposition'], undefined);
  const uploadUrl = `${server.url}/files/${url.split('/').at(-2)}`;
  const busyUpload = await exchange(uploadUrl, { method: 'GET' });
  assert.equal(busyUpload.status, 503);
  assert.match(busyUpload.body.toString(), /^ERR_DOWNLOADS_BUSY: /);
  assert.equal((await exchange(url, { method: 'HEAD' })).status, 200);

  assert.equal((await exchange(`${server.url}/readyz`, { method: 'GET' })).status, 200);
  const small = await storeFile(server, SMALL);
  first?.socket.destroy();
  const read = await eventually('the place of the client that left', async () => {
    const answer = await exchange(small, { method: 'GET' });
    return answer.status === 503 ? undefined : answer;
  });
  assert.ok(read.body.equals(SMALL));
  assert.deepEqual(server.loggedErrors(), []);
});

test('a client that takes nothing for IDLE_BODY_SECS is cut off, and one that reads slowly is not', async (t) => {
  const server = await startServerProcess(t, { env: { IDLE_BODY_SECS: '3', MAX_DOWNLOADS: '2' } });
  const url = await storeFile(server, patternBytes(FILE_BYTES));
  const [slow, silent] = await openMany(t, url, 2);
  assert.ok(slow !== undefined && silent !== undefined);
  // Ends long before the whole file is read, so that its end cannot be taken for it.
  const reading = setInterval(() => slow.take(64 * 1024), 200);
  t.after(() => clearInterval(reading));
  await eventually('the end of the one that reads nothing', async () =>
    (await scrape(server.url)).find('tus_relay_downloads_open') === 1 ? true : undefined,
  );
  // A socket that does not read does not notice its end either.
  assert.ok((await silent.takeAll()) < FILE_BYTES);
  // Three times as long as the one that read nothing was given.
  const until = Date.now() + 9_000;
  await eventually('some time', async () => (Date.now() > until ? true : undefined));
  assert.equal((await scrape(server.url)).find('tus_relay_downloads_open'), 1, 'the slow one was cut off, too');
  const before = slow.bytesRead;
  await eventually('more bytes for the slow reader', async () => (slow.bytesRead > before ? true : undefined));
  assert.ok((await exchange(url, { method: 'GET' })).body.equals(patternBytes(FILE_BYTES)));
});
