/** Pages of other origins: what a browser asks before it lets them, and what it lets them read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Exchange, exchange } from '../support/http-exchange.ts';
import { startServerProcess } from '../support/server-process.ts';
import { createUpload, head, patch, post, terminate } from '../support/tus-client.ts';

const PAGE = 'https://app.example';
const STRANGER = 'https://evil.example';
/** What tus-js-client and Uppy send, their options included (addRequestId, parallelUploads, overridePatchMethod, …). */
const SENT = [
  'Authorization',
  'Content-Type',
  'Tus-Resumable',
  'Upload-Concat',
  'Upload-Defer-Length',
  'Upload-Length',
  'Upload-Metadata',
  'Upload-Offset',
  'X-HTTP-Method-Override',
  'X-Request-ID',
  'X-Requested-With',
];
/** What they read, or show. */
const READ = [
  'Location',
  'Tus-Extension',
  'Tus-Max-Size',
  'Tus-Resumable',
  'Tus-Version',
  'Upload-Defer-Length',
  'Upload-Expires',
  'Upload-Length',
  'Upload-Metadata',
  'Upload-Offset',
  'Retry-After',
  'X-Request-ID',
];

test('with CORS_ORIGINS=* pages of every origin may upload', async (t) => {
  const server = await startServerProcess(t, { env: { LOG_LEVEL: 'warn', CORS_ORIGINS: '*' } });
  const files = `${server.url}/files`;

  await t.test('the preflight of each method allows all that the clients send', async () => {
    for (const method of ['POST', 'PATCH', 'HEAD', 'DELETE']) {
      const { status, headers } = await preflight(files, PAGE, method);
      assert.ok(status === 200 || status === 204, `${status}`);
      assert.equal(headers['access-control-allow-origin'], '*');
      assert.equal(headers['access-control-allow-credentials'], undefined, 'browsers refuse the two together');
      assert.ok(list(headers['access-control-allow-methods']).includes(method.toLowerCase()), method);
      assert.deepEqual(missing(SENT, headers['access-control-allow-headers']), []);
      assert.ok(Number(headers['access-control-max-age']) > 0, 'browsers need not ask before each PATCH');
    }
  });

  await t.test('the answers themselves, errors included, can be read', async () => {
    const origin = { Origin: PAGE };
    const url = await createUpload(files, 3, origin);
    const answers = [
      await post(files, { ...origin, 'Upload-Length': 3 }),
      await patch(url, 0, Buffer.from('abc'), origin),
      await head(url, origin),
      await patch(url, 1, Buffer.from('abc'), origin),
      await terminate(url, origin),
      await head(url, origin),
    ];
    assert.deepEqual(
      answers.map(({ status }) => status),
      [201, 204, 200, 409, 204, 410],
    );
    for (const { headers } of answers) {
      assert.equal(headers['access-control-allow-origin'], '*');
      assert.deepEqual(missing(READ, headers['access-control-expose-headers']), []);
    }
  });
});

test('with CORS_ORIGINS only the listed pages may, and caches are told that it depends', async (t) => {
  const server = await startServerProcess(t, {
    env: { LOG_LEVEL: 'warn', CORS_ORIGINS: `${PAGE}, https://other.example` },
  });
  const files = `${server.url}/files`;
  for (const send of [
    (origin: string) => preflight(files, origin, 'POST'),
    (origin: string) => post(files, { Origin: origin, 'Upload-Length': 3 }),
    (origin: string) => head(`${files}/00000000-0000-4000-8000-000000000000`, { Origin: origin }),
  ]) {
    const listed = await send(PAGE);
    assert.equal(listed.headers['access-control-allow-origin'], PAGE);
    assert.equal(listed.headers['access-control-allow-credentials'], 'true', 'withCredentials works');
    assert.deepEqual(missing(READ, listed.headers['access-control-expose-headers']), []);
    const stranger = await send(STRANGER);
    assert.equal(stranger.status, 403);
    assert.equal(stranger.headers['access-control-allow-origin'], undefined);
    assert.equal(stranger.headers['access-control-allow-credentials'], undefined);
    assert.ok(list(stranger.headers.vary).includes('origin'));
  }
});

function preflight(url: string, origin: string, method: string): Promise<Exchange> {
  return exchange(url, {
    method: 'OPTIONS',
    headers: {
      Origin: origin,
      'Access-Control-Request-Method': method,
      'Access-Control-Request-Headers': SENT.join(',').toLowerCase(),
    },
  });
}

function list(header: string | string[] | undefined): string[] {
  return String(header)
    .split(',')
    .map((name) => name.trim().toLowerCase());
}

function missing(names: readonly string[], header: string | string[] | undefined): string[] {
  const there = list(header);
  return names.filter((name) => !there.includes(name.toLowerCase()));
}
