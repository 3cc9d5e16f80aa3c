/** Clients that vanish, hang, come twice or change their mind; and proxies in front. */
import assert from 'node:assert/strict';
import { readdir, readlink } from 'node:fs/promises';
import { test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { exchange } from '../support/http-exchange.ts';
import { scrape } from '../support/read-metrics.ts';
import { type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { patternBytes } from '../support/test-relay.ts';
import { createUpload, head, openPatch, patch, post, terminate } from '../support/tus-client.ts';

const MIB = 2 ** 20;
const CONTENT = patternBytes(7 * MIB);
const METRICS_TOKEN = 'a-token-of-this-test';

test('clients that do not behave', async (t) => {
  const server = await startServerProcess(t, {
    env: { LOG_LEVEL: 'warn', IDLE_BODY_SECS: '2', BUFFER_BYTES: '32MiB', TRUST_PROXY: 'true', METRICS_TOKEN },
  });
  const files = `${server.url}/files`;

  await t.test('a client that vanishes in mid-body: what had arrived is kept, and the upload goes on', async () => {
    const url = await createUpload(files, CONTENT.length);
    const open = await openPatch(url, 0, CONTENT.length);
    await open.send(CONTENT.subarray(0, 6 * MIB));
    open.vanish();
    const offset = Number((await head(url)).headers['upload-offset']);
    // A reset may overtake bytes that were on their way.
    assert.ok(offset <= 6 * MIB, String(offset));
    assert.equal((await patch(url, offset, CONTENT.subarray(offset))).status, 204);
    assert.ok((await exchange(url, { method: 'GET' })).body.equals(CONTENT));
  });

  await t.test('a client that ends its side in mid-body: every byte that it sent is kept', async () => {
    const url = await createUpload(files, CONTENT.length);
    const open = await openPatch(url, 0, CONTENT.length);
    await open.send(CONTENT.subarray(0, 6 * MIB));
    open.socket.end();
    await open.answer();
    assert.equal((await head(url)).headers['upload-offset'], String(6 * MIB));
  });

  await t.test('HEAD while a PATCH hangs half open: it is let in, and what the other sent is counted', async () => {
    const url = await createUpload(files, CONTENT.length);
    const before = await bufferedBytes(server);
    const hanging = await openPatch(url, 0, CONTENT.length);
    await hanging.send(CONTENT.subarray(0, 2 * MIB));
    await eventually('half of it is in memory', async () =>
      (await bufferedBytes(server)) >= before + MIB ? true : undefined,
    );
    const looked = await head(url);
    assert.equal(looked.status, 200);
    // The PATCH reads no further once another asks, so what still was on its way to it may be missing.
    const offset = Number(looked.headers['upload-offset']);
    assert.ok(offset > 0 && offset <= 2 * MIB, String(offset));
    const answer = await hanging.answer();
    assert.equal(answer.status, 423, 'the one that hangs is told that another has come');
    assert.equal((await patch(url, offset, CONTENT.subarray(offset))).status, 204);
    assert.ok((await exchange(url, { method: 'GET' })).body.equals(CONTENT));
  });

  await t.test('two PATCHes race at one offset: the bytes of one are stored, the other learns that', async () => {
    const url = await createUpload(files, CONTENT.length);
    const answers = await Promise.all([patch(url, 0, CONTENT), patch(url, 0, CONTENT), patch(url, 0, CONTENT)]);
    const statuses = answers.map(({ status }) => status);
    assert.ok(
      statuses.every((status) => [204, 409, 413, 423].includes(status)),
      String(statuses),
    );
    const offset = Number((await head(url)).headers['upload-offset']);
    if (offset < CONTENT.length) assert.equal((await patch(url, offset, CONTENT.subarray(offset))).status, 204);
    assert.ok((await exchange(url, { method: 'GET' })).body.equals(CONTENT));
  });

  await t.test('DELETE while a PATCH is under way: the upload is gone, and stays so', async () => {
    const url = await createUpload(files, CONTENT.length);
    const open = await openPatch(url, 0, CONTENT.length);
    await open.send(CONTENT.subarray(0, 6 * MIB));
    assert.equal((await terminate(url)).status, 204);
    const { status } = await open.answer();
    assert.ok([404, 410, 423].includes(status), String(status));
    assert.ok([404, 410].includes((await head(url)).status));
    assert.ok([404, 410].includes((await patch(url, 0, CONTENT)).status));
  });

  await t.test(
    'a body that falls silent: after IDLE_BODY_SECS what has arrived is stored, and the client told',
    async () => {
      const url = await createUpload(files, CONTENT.length);
      const open = await openPatch(url, 0, CONTENT.length);
      await open.send(CONTENT.subarray(0, MIB));
      const { status, head: text } = await open.answer();
      assert.equal(status, 423);
      assert.match(text, /ERR_READ_TIMEOUT/);
      assert.equal((await head(url)).headers['upload-offset'], String(MIB));
    },
  );

  await t.test('Location is the address as the proxy’s client sees it', async () => {
    const locate = async (headers: Record<string, string>) =>
      String((await post(files, { 'Upload-Length': 3, ...headers })).headers.location);
    const proxied = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'up.example' };
    assert.match(await locate(proxied), /^https:\/\/up\.example\/files\/[0-9a-f-]{36}$/);
    assert.match(
      await locate({ Forwarded: 'proto=https;host="up.example:8443"' }),
      /^https:\/\/up\.example:8443\/files\//,
    );
    assert.ok(
      (await locate({ 'X-Forwarded-Host': 'a b/../evil' })).startsWith(`${files}/`),
      'nonsense is not repeated',
    );
  });

  await t.test('many vanished clients leave nothing behind: no lock, no memory, no handle', async () => {
    const before = await openHandles(server);
    const urls = await Promise.all(Array.from({ length: 20 }, () => createUpload(files, CONTENT.length)));
    for (let round = 0; round < 3; round += 1) {
      await Promise.all(
        urls.map(async (url) => {
          const offset = Number((await head(url)).headers['upload-offset']);
          const open = await openPatch(url, offset, CONTENT.length - offset);
          // Together far more than BUFFER_BYTES: if their memory were not given back, the next round would hang.
          await open.send(CONTENT.subarray(offset, offset + 2 * MIB)).catch(() => {});
          open.vanish();
        }),
      );
    }
    for (const url of urls) assert.equal((await terminate(url)).status, 204);
    await eventually('the handles of before', async () => ((await openHandles(server)) <= before ? true : undefined));
  });

  assert.deepEqual(server.loggedErrors(), [], 'a client that vanishes is no error');
});

test('without TRUST_PROXY nobody may say where the server is', async (t) => {
  const server = await startServerProcess(t, { env: { LOG_LEVEL: 'warn' } });
  const files = `${server.url}/files`;
  const answer = await post(files, { 'Upload-Length': 3, 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'evil' });
  assert.ok(String(answer.headers.location).startsWith(`${files}/`));
});

async function bufferedBytes(server: ServerProcess): Promise<number> {
  return (
    (await scrape(server.url, { authorization: `Bearer ${METRICS_TOKEN}` })).find('tus_relay_buffer_used_bytes') ?? 0
  );
}

/** Open sockets of clients, and files in the spill folder, of the server's process. */
async function openHandles(server: ServerProcess): Promise<number> {
  const folder = `/proc/${server.child.pid}/fd`;
  const targets = await Promise.all(
    (await readdir(folder)).map((name) => readlink(`${folder}/${name}`).catch(() => '')),
  );
  return targets.filter((target) => target.includes('spill') || target.startsWith('socket:')).length;
}
