import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { Router } from 'express';
import { RelayError, UnavailableError } from '../../src/errors.ts';
import { OriginRules } from '../../src/http/origin-rules.ts';
import { pageRoutes } from '../../src/http/page.ts';
import { isNamablePath } from '../../src/http/path-guard.ts';
import { trustedProxies } from '../../src/http/trust-proxy.ts';
import { toTusAnswer } from '../../src/tus/tus-errors.ts';
import { serveApp } from '../support/serve-app.ts';

/** The app with an API of one address, which fails. */
function failingWith(error: unknown): { files: Router } {
  return { files: Router().get('/files', () => Promise.reject(error)) };
}

/** Sends bytes as they are, since a client library would tidy them up. @returns what the server says until it closes */
async function sendRaw(url: string, text: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  let answer = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    answer += chunk;
  });
  socket.write(text);
  await once(socket, 'close');
  return answer;
}

const rawGet = (url: string, path: string) =>
  sendRaw(url, `GET ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);

test('an error that we threw is told with its code, message and request id', async (t) => {
  const { url } = await serveApp(t, failingWith(new RelayError('out_of_tea', 410, 'no tea left')));
  const response = await fetch(`${url}/api/files`, { headers: { 'X-Request-ID': 'abc-1' } });
  assert.equal(response.status, 410);
  assert.equal(response.headers.get('x-request-id'), 'abc-1');
  assert.deepEqual(await response.json(), { code: 'out_of_tea', message: 'no tea left', requestId: 'abc-1' });
});

test('an error that we did not foresee tells the client nothing, and the log everything', async (t) => {
  const { url, logs } = await serveApp(t, failingWith(new TypeError('password is hunter2')));
  const response = await fetch(`${url}/api/files`);
  assert.equal(response.status, 500);
  const body = await response.text();
  assert.match(body, /"code":"internal_error"/);
  assert.doesNotMatch(body, /hunter2/);
  const line = logs.find((it) => it.level === 'error');
  assert.match(JSON.stringify(line?.err), /hunter2/);
  assert.equal(line?.requestId, response.headers.get('x-request-id'));
});

test('with a service away, the client is told when to come back', async (t) => {
  const { url } = await serveApp(t, failingWith(new UnavailableError('database', 'gone', { retryAfterSecs: 7 })));
  const response = await fetch(`${url}/api/files`);
  assert.equal(response.status, 503);
  assert.equal(response.headers.get('retry-after'), '7');
  assert.equal(((await response.json()) as { code: string }).code, 'database_unavailable');
});

for (const sent of ['x'.repeat(129), 'white space', 'ümlaut']) {
  test(`a request id like ${JSON.stringify(sent.slice(0, 12))} is replaced`, async (t) => {
    const { url } = await serveApp(t);
    const answer = await sendRaw(
      url,
      `GET /livez HTTP/1.1\r\nHost: h\r\nX-Request-ID: ${sent}\r\nConnection: close\r\n\r\n`,
    );
    assert.match(answer, /\r\nX-Request-ID: [0-9a-f]{8}-[0-9a-f-]{27}\r\n/);
  });
}

const hostilePaths = [
  '/../etc/passwd',
  '/api/../livez',
  '/api/files/..%2f..%2fetc',
  '/api/files/%2e%2e/x',
  '/api/files/%00',
  '/%',
  '/%ff',
  '/api/files/a%5c..%5cb',
  '/files/../api/files',
];
for (const path of hostilePaths) {
  test(`GET ${path} is a plain 404`, async (t) => {
    const tus = {
      handle: async (_request: unknown, response: { writeHead(status: number): { end(): void } }) =>
        response.writeHead(404).end(),
    };
    const { url, logs } = await serveApp(t, { tus, page: pageRoutes('/', null) });
    assert.match(await rawGet(url, path), /^HTTP\/1\.1 404 /);
    assert.deepEqual(
      logs.filter((line) => line.level !== 'info' && line.level !== 'debug'),
      [],
    );
  });
}

test('ordinary paths pass the guard', () => {
  for (const path of ['/', '/api/files?cursor=..', '/assets/index-3f.js', '/a..b', '/%C3%A4'])
    assert.ok(isNamablePath(path), path);
});

test('what is not HTTP gets a 400, and the server lives on', async (t) => {
  const { url, logs } = await serveApp(t);
  assert.match(await sendRaw(url, 'NONSENSE\r\n\r\n'), /^HTTP\/1\.1 400 /);
  assert.match(
    await sendRaw(url, `GET / HTTP/1.1\r\nHost: h\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`),
    /^HTTP\/1\.1 431 /,
  );
  assert.equal((await fetch(`${url}/livez`)).status, 200);
  assert.deepEqual(
    logs.filter((line) => line.level === 'error'),
    [],
  );
});

test('whole URLs reach the tus endpoint, however deep it lies, and nothing else does', async (t) => {
  const seen: string[] = [];
  const { url } = await serveApp(t, {
    publicConfig: { tusEndpoint: '/a/files', maxUploadBytes: 1e9 },
    tus: {
      handle: async (request, response) => {
        seen.push(request.url ?? '');
        response.writeHead(204).end();
      },
    },
  });
  for (const path of ['/a/files', '/a/files/', '/a/files/x?y', '/a/filesystem', '/files', '/A/files'])
    await fetch(url + path);
  assert.deepEqual(seen, ['/a/files', '/a/files/', '/a/files/x?y']);
});

test('each request is logged once, without its query', async (t) => {
  const { url, logs } = await serveApp(t);
  await (await fetch(`${url}/api/nothing?token=hunter2`)).text();
  await (await fetch(`${url}/livez`)).text();
  const requests = logs.filter((line) => line.msg === 'request');
  assert.deepEqual(
    requests.map(({ level, method, path, status }) => ({ level, method, path, status })),
    [
      { level: 'info', method: 'GET', path: '/api/nothing', status: 404 },
      { level: 'debug', method: 'GET', path: '/livez', status: 200 },
    ],
  );
});

test('a request’s line says which upload, how many bytes, and whose; what went wrong on our side stands out', async (t) => {
  const uploadId = '11111111-1111-4111-8111-111111111111';
  const { url, logs } = await serveApp(t, {
    publicConfig: { tusEndpoint: '/files', maxUploadBytes: 1e9 },
    tus: {
      handle: async (request, response) => {
        const body = await text(request);
        if (request.method === 'POST') response.setHeader('Location', `${request.url}/${uploadId}`);
        response.writeHead(request.method === 'POST' ? 201 : Number(body.length === 0 ? 503 : 500)).end();
      },
      answerError: () => {},
    },
  });
  await fetch(`${url}/files`, { method: 'POST', body: 'x'.repeat(1_000) });
  await fetch(`${url}/files/${uploadId}`, { method: 'PATCH', body: 'abc' });
  await fetch(`${url}/files/${uploadId}`, { method: 'PATCH' });
  const requests = logs.filter((line) => line.msg === 'request') as Record<string, unknown>[];
  assert.deepEqual(
    requests.map((line) => ({
      level: line.level,
      uploadId: line.uploadId,
      bytesIn: line.bytesIn,
      client: line.client,
    })),
    [
      { level: 'info', uploadId, bytesIn: 1_000, client: '127.0.0.1' },
      { level: 'error', uploadId, bytesIn: 3, client: '127.0.0.1' },
      { level: 'warn', uploadId, bytesIn: 0, client: '127.0.0.1' },
    ],
  );
});

test('what a client is told of a service that is away names no address', async (t) => {
  const inner = new UnavailableError('database', 'Postgres at 10.0.0.3:5432/relay: connect ECONNREFUSED 10.0.0.3:5432');
  const files = Router().get('/files', (_request, _response, next) => next(inner));
  const { url } = await serveApp(t, { files });
  const response = await fetch(`${url}/api/files`);
  assert.equal(response.status, 503);
  const body = await response.text();
  assert.doesNotMatch(body, /10\.0\.0\.3|ECONN/);
  assert.match(body, /the database is not available for now/);
  assert.doesNotMatch(toTusAnswer(inner).body, /10\.0\.0\.3|ECONN/);
});

test('with CORS_ORIGINS=* pages of any origin may use the API, with a list those in it', async (t) => {
  const files = Router().get('/files', (_request, response) => void response.json([]));
  const ask = (url: string, origin: string) => fetch(`${url}/api/files`, { headers: { Origin: origin } });
  const open = await serveApp(t, { files });
  assert.equal((await ask(open.url, 'https://any.example')).headers.get('access-control-allow-origin'), '*');

  const closed = await serveApp(t, { files, origins: new OriginRules(['https://app.example'], () => false) });
  const allowed = await ask(closed.url, 'https://app.example');
  assert.equal(allowed.headers.get('access-control-allow-origin'), 'https://app.example');
  assert.match(allowed.headers.get('access-control-expose-headers') ?? '', /X-Request-ID/);
  assert.equal(allowed.headers.get('access-control-allow-credentials'), 'true');
  const refused = await ask(closed.url, 'https://other.example');
  assert.equal(refused.status, 403);
  assert.equal(refused.headers.get('access-control-allow-origin'), null);
  assert.match(refused.headers.get('vary') ?? '', /Origin/);
});

test('a preflight of the API allows what its routes take', async (t) => {
  const { url } = await serveApp(t);
  const response = await fetch(`${url}/api/files/x`, {
    method: 'OPTIONS',
    headers: { Origin: 'https://app.example', 'Access-Control-Request-Method': 'DELETE' },
  });
  assert.equal(response.status, 204);
  assert.match(response.headers.get('access-control-allow-methods') ?? '', /DELETE/);
});

test('which peers are believed about their clients follows TRUST_PROXY', () => {
  assert.equal(trustedProxies(false)('127.0.0.1'), false);
  assert.equal(trustedProxies(true)('203.0.113.9'), true);
  assert.equal(trustedProxies(1)('203.0.113.9'), true);
  const listed = trustedProxies(['10.0.0.0/8', 'loopback']);
  assert.deepEqual(['10.1.2.3', '::1', '203.0.113.9'].map(listed), [true, true, false]);
});
