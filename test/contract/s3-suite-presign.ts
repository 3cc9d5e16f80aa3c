/** Presigned URLs: those of the SDK's presigner, and hand-made ones. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { GetObjectCommand, PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { AWKWARD_NAME, bodyOf, sdkTest } from './s3-checks.ts';
import { presign, send } from './s3-signer.ts';
import type { OpenTarget } from './s3-suite.ts';
import { freshPrefix, sdkClient } from './s3-target.ts';

const MINUTE_MS = 60_000;

export function presignContract(open: OpenTarget): void {
  sdkTest(open, 'a presigned PUT stores, a presigned GET reads, and neither needs headers', async (it, t) => {
    // The checksum that the presigner would put into the URL is that of no bytes.
    const client = sdkClient(it.target, { requestChecksumCalculation: 'WHEN_REQUIRED' });
    t.after(() => client.destroy());
    const where = { Bucket: it.bucket, Key: it.prefix + AWKWARD_NAME };
    const putUrl = await getSignedUrl(client, new PutObjectCommand(where), { expiresIn: 60 });
    const put = await fetch(putUrl, { method: 'PUT', body: 'presigned bytes' });
    assert.equal(put.status, 200, await put.text());
    assert.match(put.headers.get('etag') ?? '', /^"[0-9a-f]{32}"$/);
    const getUrl = await getSignedUrl(client, new GetObjectCommand(where), { expiresIn: 60 });
    const got = await fetch(getUrl, { headers: { range: 'bytes=10-14' } });
    assert.equal(got.status, 206);
    assert.equal(await got.text(), 'bytes');
  });

  sdkTest(open, 'a presigned PUT may bind type and size', async (it, t) => {
    const client = sdkClient(it.target, { requestChecksumCalculation: 'WHEN_REQUIRED' });
    t.after(() => client.destroy());
    const where = { Bucket: it.bucket, Key: `${it.prefix}k` };
    const command = new PutObjectCommand({ ...where, ContentType: 'image/png', ContentLength: 5 });
    const url = await getSignedUrl(client, command, {
      expiresIn: 60,
      signableHeaders: new Set(['host', 'content-type', 'content-length']),
    });
    const headers = { 'content-type': 'image/png' };
    assert.equal((await fetch(url, { method: 'PUT', body: '123456', headers })).status, 403);
    assert.equal(
      (await fetch(url, { method: 'PUT', body: '12345', headers: { 'content-type': 'text/html' } })).status,
      403,
    );
    assert.equal((await fetch(url, { method: 'PUT', body: '12345', headers })).status, 200);
    assert.equal((await it.client.send(new GetObjectCommand(where))).ContentType, 'image/png');
  });

  sdkTest(open, 'an unknown parameter x-id and a presigned part do no harm', async (it, t) => {
    const client = sdkClient(it.target, { requestChecksumCalculation: 'WHEN_REQUIRED' });
    t.after(() => client.destroy());
    const where = { Bucket: it.bucket, Key: `${it.prefix}k` };
    const url = new URL(await getSignedUrl(client, new PutObjectCommand(where), { expiresIn: 60 }));
    assert.equal(url.searchParams.get('x-id'), 'PutObject'); // it is opaque to a server
    assert.equal((await fetch(url, { method: 'PUT', body: 'x' })).status, 200);
    const part = new UploadPartCommand({ ...where, UploadId: 'none', PartNumber: 1 });
    assert.equal(
      (await fetch(await getSignedUrl(client, part, { expiresIn: 60 }), { method: 'PUT', body: 'x' })).status,
      404,
    );
    assert.equal((await bodyOf(await it.client.send(new GetObjectCommand(where)))).toString(), 'x');
  });

  test('a presigned URL ends when it says', async () => {
    const target = open();
    const request = { method: 'GET', path: `/${target.bucket}/${freshPrefix()}none` };
    const signed = (ageMs: number, expiresSecs: number | string) =>
      send(target, {
        ...request,
        headers: {},
        query: presign(target, request, expiresSecs, new Date(Date.now() - ageMs)),
      });
    assert.equal((await signed(4 * MINUTE_MS, 300)).status, 404); // let in: there is just no such object
    const expired = await signed(6 * MINUTE_MS, 300);
    assert.equal(expired.status, 403);
    assert.equal(expired.code, 'AccessDenied');
    assert.match(expired.text, /expired/);
    if (!target.profile.has('early-presigned')) assert.equal((await signed(-60 * MINUTE_MS, 300)).status, 403);
    assert.equal((await signed(0, 604_801)).status, 400); // longer than a week
    assert.ok((await signed(0, 'soon')).status >= 400);
  });

  test('a presigned URL is good for what it was made for, and nothing else', async () => {
    const target = open();
    const request = { method: 'GET', path: `/${target.bucket}/${freshPrefix()}none` };
    const query = presign(target, request, 60);
    const tampered: [string, { method?: string; path?: string; query?: Record<string, string> }][] = [
      ['method', { method: 'PUT' }],
      ['key', { path: `${request.path}2` }],
      ['expiry', { query: { ...query, 'X-Amz-Expires': '6000' } }],
      ['further parameter', { query: { ...query, 'response-content-type': 'text/html' } }],
      ['signature', { query: { ...query, 'X-Amz-Signature': '0'.repeat(64) } }],
    ];
    for (const [what, change] of tampered) {
      const answer = await send(target, { ...request, headers: {}, query, ...change });
      assert.equal(answer.status, 403, what);
      assert.equal(answer.code, 'SignatureDoesNotMatch', what);
    }
  });

  test('a page on another origin may use a presigned PUT, and sees the ETag', async (t) => {
    const target = open();
    if (target.profile.has('cors-closed')) return t.skip('this server differs: cors-closed');
    const path = `/${target.bucket}/${freshPrefix()}k`;
    const origin = 'https://app.example.com';
    const preflight = await send(target, {
      ...{ method: 'OPTIONS', path },
      headers: {
        origin,
        'access-control-request-method': 'PUT',
        'access-control-request-headers': 'content-type',
      },
    });
    assert.ok(preflight.status === 200 || preflight.status === 204);
    assert.match(preflight.headers['access-control-allow-origin'] ?? '', /^(\*|https:\/\/app\.example\.com)$/);
    assert.match(preflight.headers['access-control-allow-methods'] ?? '', /PUT/);
    assert.match(preflight.headers['access-control-allow-headers'] ?? '', /content-type|\*/i);
    const request = { method: 'PUT', path, body: Buffer.from('x') };
    const query = presign(target, request, 60);
    const put = await send(target, { ...request, query, headers: { origin, 'content-length': '1' } });
    assert.equal(put.status, 200);
    assert.match(put.headers['access-control-expose-headers'] ?? '', /ETag|\*/i);
    assert.ok(put.headers['access-control-allow-origin']);
  });
}
