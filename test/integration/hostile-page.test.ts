/**
 * A page of the web in the browser of somebody who can reach the server. It may send what a browser lets it send; nothing
 * of that may be answered, or have an effect.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { OutgoingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { exchange } from '../support/http-exchange.ts';
import { startServerProcess } from '../support/server-process.ts';
import { createUpload, head, OFFSET_BODY, patch, post, TUS } from '../support/tus-client.ts';

const EVIL = 'https://evil.example';
const CONTENT = Buffer.from('private');

/** A server with one file and one open upload, and every address of it with every method that does something. */
async function startWorld(t: Parameters<typeof startServerProcess>[0], env: Record<string, string> = {}) {
  const server = await startServerProcess(t, { env: { LOG_LEVEL: 'warn', ...env } });
  const files = `${server.url}/files`;
  const done = await createUpload(files, CONTENT.length);
  await patch(done, 0, CONTENT);
  const open = await createUpload(files, 9);
  await patch(open, 0, CONTENT.subarray(0, 4));
  const file = `${server.url}/api/files/${done.split('/').at(-1)}`;
  const append = { ...OFFSET_BODY, 'Upload-Offset': 4 };
  const requests: [method: string, url: string, headers: OutgoingHttpHeaders, body?: Buffer][] = [
    ...['GET', 'HEAD', 'OPTIONS', 'POST'].map((method): [string, string, OutgoingHttpHeaders] => [
      method,
      `${server.url}/`,
      {},
    ]),
    ['GET', `${server.url}/metrics`, {}],
    ['GET', `${server.url}/api/config`, {}],
    ['GET', `${server.url}/api/events`, {}],
    ['GET', `${server.url}/api/files`, {}],
    ['GET', file, {}],
    ['GET', `${file}/content`, {}],
    ['HEAD', `${file}/content`, {}],
    ['GET', `${file}/thumb/128`, {}],
    ['DELETE', file, {}],
    ['OPTIONS', file, { 'Access-Control-Request-Method': 'DELETE' }],
    ['POST', `${server.url}/api/files`, { 'Content-Type': 'text/plain' }, CONTENT],
    ['GET', `${server.url}/nowhere`, {}],
    ['POST', files, { 'Upload-Length': 9 }],
    ['POST', files, { 'Upload-Length': CONTENT.length, ...OFFSET_BODY }, CONTENT],
    ['POST', files, { 'Content-Type': 'text/plain' }, CONTENT],
    ['OPTIONS', files, { 'Access-Control-Request-Method': 'POST' }],
    ['OPTIONS', open, { 'Access-Control-Request-Method': 'PATCH' }],
    ['GET', done, {}],
    ['HEAD', open, {}],
    ['PATCH', open, append, CONTENT.subarray(4)],
    ['POST', open, { 'X-HTTP-Method-Override': 'PATCH', ...append }, CONTENT.subarray(4)],
    ['DELETE', open, {}],
    ['DELETE', done, {}],
    ['POST', done, { 'X-HTTP-Method-Override': 'DELETE' }],
  ];
  return {
    server,
    files,
    file,
    done,
    open,
    /** @returns the answers, by what was asked */
    async askAll(headers: OutgoingHttpHeaders) {
      return Promise.all(
        requests.map(async ([method, url, own, body]) => {
          const answer = await exchange(url, {
            method,
            headers: { ...TUS, ...own, ...headers },
            ...(body && { body }),
          });
          return { what: `${method} ${url} ${JSON.stringify(headers)}`, answer };
        }),
      );
    },
    async assertUnharmed() {
      assert.equal((await head(open)).headers['upload-offset'], '4');
      assert.deepEqual((await exchange(done, { method: 'GET' })).body, CONTENT);
      const list = JSON.parse(String((await exchange(`${server.url}/api/files`, { method: 'GET' })).body));
      assert.equal(list.files.length, 1);
      assert.deepEqual(server.loggedErrors(), []);
    },
  };
}

test('a page of another origin reads nothing and changes nothing, whatever it asks', async (t) => {
  const world = await startWorld(t);
  const port = world.server.port;
  const strangers = [
    EVIL,
    `http://evil.example:${port}`,
    'http://localhost.evil.example',
    'http://127.0.0.1.evil.example',
    'http://evil.example/@127.0.0.1',
    'null',
    'file://',
    'nonsense',
  ];
  for (const Origin of strangers) {
    for (const { what, answer } of await world.askAll({ Origin })) {
      assert.equal(answer.status, 403, what);
      assert.equal(answer.headers['access-control-allow-origin'], undefined, what);
      assert.equal(answer.headers['access-control-allow-credentials'], undefined, what);
      assert.match(String(answer.headers.vary), /\bOrigin\b/, what);
      if (answer.body.length > 0) assert.match(String(answer.body), /origin_not_allowed|^ERR_ORIGIN_NOT_ALLOWED: /);
    }
  }
  await world.assertUnharmed();
});

test('a page whose name was made to lead to this machine is turned away, whatever it asks', async (t) => {
  const world = await startWorld(t);
  const port = world.server.port;
  for (const host of [
    'evil.example',
    `evil.example:${port}`,
    `localhost.evil.example:${port}`,
    '192.168.1.5',
    '0.0.0.0',
  ]) {
    for (const headers of [{ Host: host }, { Host: host, Origin: `http://${host}` }]) {
      for (const { what, answer } of await world.askAll(headers)) {
        assert.equal(answer.status, 421, what);
        if (answer.body.length > 0) assert.match(String(answer.body), /host_not_allowed|^ERR_HOST_NOT_ALLOWED: /);
      }
    }
  }
  // What scripts of such a page could add, since to the browser they are at home.
  const forged = { Host: 'evil.example', 'X-Forwarded-Host': `127.0.0.1:${port}`, Forwarded: 'host=localhost' };
  for (const { what, answer } of await world.askAll(forged)) assert.equal(answer.status, 421, what);
  await world.assertUnharmed();

  for (const host of [
    `localhost:${port}`,
    `app.localhost:${port}`,
    `127.1.2.3:${port}`,
    `[::1]:${port}`,
    'LOCALHOST.',
  ]) {
    const answer = await exchange(`${world.server.url}/api/files`, { method: 'GET', headers: { Host: host } });
    assert.equal(answer.status, 200, host);
  }
  for (const path of ['/livez', '/readyz']) {
    const answer = await exchange(`${world.server.url}${path}`, { method: 'GET', headers: { Host: '10.0.0.7:8080' } });
    assert.equal(answer.status, 200, 'balancers ask by address');
  }
  assert.match(await rawGet(port, 'GET /api/files HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 /, 'no browser speaks that');
  assert.match(await rawGet(port, 'GET /api/files HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 421 /);
});

test('the host in the request’s target counts, whatever the Host header says, and the path behind it is ours', async (t) => {
  const world = await startWorld(t);
  const { port } = world.server;
  const ask = (line: string, host: string) =>
    rawGet(
      port,
      `${line} HTTP/1.1\r\nHost: ${host}\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 3\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
    );
  const own = `127.0.0.1:${port}`;
  for (const line of [
    'GET http://evil.example/api/files',
    'POST http://evil.example/files',
    'GET http://evil.example',
  ]) {
    assert.match(await ask(line, own), /^HTTP\/1\.1 421 /, line);
  }
  assert.match(await ask('GET http:///api/files', own), /^HTTP\/1\.1 4\d\d /, 'no host at all');
  assert.match(await ask(`GET http://${own}/api/files?limit=1`, 'evil.example'), /^HTTP\/1\.1 200 /);
  assert.match(await ask(`GET HTTP://${own}`, own), /^HTTP\/1\.1 200 /);
  const created = await ask(`POST http://${own}/files`, own);
  assert.match(created, new RegExp(`^HTTP/1\\.1 201 .*\\r\\nLocation: http://${own}/files/`, 's'));
  assert.equal((await exchange(world.open, { method: 'HEAD', headers: TUS })).headers['upload-offset'], '4');
});

test('our own page and pages of the user’s own machine may do everything, with credentials', async (t) => {
  const world = await startWorld(t);
  const port = world.server.port;
  const friends = [`http://127.0.0.1:${port}`, 'http://localhost:3000', 'https://[::1]:5173', 'http://app.localhost'];
  for (const origin of friends) {
    const answers = [
      await post(world.files, { Origin: origin, 'Upload-Length': 3 }),
      await exchange(world.files, { method: 'OPTIONS', headers: { Origin: origin } }),
      await exchange(world.done, { method: 'GET', headers: { Origin: origin } }),
      await exchange(world.file, { method: 'GET', headers: { Origin: origin } }),
      await exchange(world.file, { method: 'OPTIONS', headers: { Origin: origin } }),
    ];
    assert.deepEqual(
      answers.map(({ status }) => status),
      [201, 204, 200, 200, 204],
    );
    for (const { headers } of answers) {
      assert.equal(headers['access-control-allow-origin'], origin);
      assert.equal(headers['access-control-allow-credentials'], 'true');
      assert.match(String(headers.vary), /\bOrigin\b/);
    }
  }
});

test('a foreign page cannot embed what it may not read; a link to a file, and a friend’s picture, work', async (t) => {
  const { file, server } = await startWorld(t, { CORS_ORIGINS: 'https://app.example' });
  const get = async (headers: OutgoingHttpHeaders, url = `${file}/content`) => {
    const answer = await exchange(url, { method: 'GET', headers });
    return [answer.status, answer.headers['cross-origin-resource-policy']];
  };
  const picture = { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors', 'Sec-Fetch-Dest': 'image' };
  const link = { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' };
  assert.deepEqual(await get(picture), [403, 'same-origin']);
  assert.deepEqual(await get({ ...picture, Referer: `${EVIL}/` }), [403, 'same-origin']);
  assert.deepEqual(await get({ ...picture, 'Sec-Fetch-Site': 'same-site' }), [403, 'same-origin']);
  assert.deepEqual(await get({ ...link, 'Sec-Fetch-Dest': 'object' }), [403, 'same-origin']);
  assert.deepEqual(await get({ ...picture, Referer: 'https://app.example/' }), [200, 'cross-origin']);
  assert.deepEqual(await get(link), [200, 'same-origin']);
  assert.deepEqual(await get({ ...picture, 'Sec-Fetch-Site': 'same-origin' }), [200, 'same-origin']);
  assert.deepEqual(await get({}), [200, 'same-origin'], 'an old browser keeps it from the page');
  const form = { ...link, 'Content-Type': 'text/plain' };
  assert.equal((await exchange(`${server.url}/files`, { method: 'POST', headers: form, body: 'x' })).status, 403);
  assert.deepEqual(await get({ Origin: 'http://localhost:3000' }), [403, 'same-origin'], 'a list is the list');
});

test('behind a proxy that is trusted, our own page is the one that the proxy’s client sees', async (t) => {
  const env = { TRUST_PROXY: 'loopback', ALLOWED_HOSTS: 'up.example,node.internal' };
  const { files } = await startWorld(t, env);
  const proxied = { Host: 'node.internal', 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'up.example' };
  const create = async (headers: OutgoingHttpHeaders) => (await post(files, { 'Upload-Length': 3, ...headers })).status;
  assert.equal(await create({ ...proxied, Origin: 'https://up.example' }), 201);
  assert.equal(await create({ ...proxied, Origin: 'http://up.example' }), 403, 'a worse line than ours');
  assert.equal(await create({ ...proxied, Origin: EVIL }), 403);
  assert.equal(await create({ ...proxied, 'X-Forwarded-Host': 'evil.example' }), 421);
  assert.equal(
    await create({ Host: 'up.example', Origin: 'https://up.example' }),
    201,
    'a proxy that ends TLS in silence',
  );
  assert.equal(await create({ Host: 'up.example.evil.example' }), 421);
});

test('with ALLOWED_HOSTS the names are checked beyond this machine, too; without, any name does', async (t) => {
  const listed = await startServerProcess(t, {
    env: { HOST: '0.0.0.0', S3_BUCKET: 'embedded', ALLOWED_HOSTS: 'up.example:8443' },
  });
  const ask = async (url: string, host: string) =>
    (await exchange(`${url}/api/files`, { method: 'GET', headers: { Host: host } })).status;
  assert.equal(await ask(listed.url, 'up.example:8443'), 200);
  assert.equal(await ask(listed.url, 'up.example'), 421);
  assert.equal(await ask(listed.url, 'localhost'), 200);
  assert.doesNotMatch(listed.output, /ALLOWED_HOSTS/);

  const open = await startServerProcess(t, { env: { HOST: '0.0.0.0', S3_BUCKET: 'embedded' } });
  assert.equal(await ask(open.url, 'up.example'), 200);
  assert.match(open.output, /set ALLOWED_HOSTS/, 'the operator is told');
});

/** @returns what the server says until it closes */
async function rawGet(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    answer += chunk;
  });
  socket.write(text);
  await once(socket, 'close');
  return answer;
}
