/** Who is let in: hand-made requests, right and wrong. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { send, sendSigned, sha256, signHeaders } from './s3-signer.ts';
import type { OpenTarget } from './s3-suite.ts';
import { freshPrefix, type S3Target } from './s3-target.ts';

const HOUR_MS = 3_600_000;

export function signatureContract(open: OpenTarget): void {
  const put = (target: S3Target, body = 'bytes') => ({
    ...{ method: 'PUT', path: `/${target.bucket}/${freshPrefix()}k`, body: Buffer.from(body) },
    headers: { 'content-type': 'text/plain', 'x-amz-meta-a': '1' },
  });

  test('a signed payload and an unsigned one are taken', async () => {
    const target = open();
    const request = put(target);
    assert.equal((await sendSigned(target, request)).status, 200);
    assert.equal((await sendSigned(target, { ...request, payloadHash: 'UNSIGNED-PAYLOAD' })).status, 200);
    const got = await sendSigned(target, { method: 'GET', path: request.path });
    assert.equal(got.text, 'bytes');
    assert.equal(got.headers['x-amz-meta-a'], '1');
  });

  test('a query is under the signature, blanks and all', async () => {
    const target = open();
    const request = { method: 'GET', path: `/${target.bucket}`, query: { 'list-type': '2', prefix: 'a b+ü/=&' } };
    assert.equal((await sendSigned(target, request)).status, 200);
    const { headers } = signHeaders(target, request);
    const changed = await send(target, { ...request, query: { ...request.query, prefix: 'other' }, headers });
    assert.equal(changed.status, 403);
    assert.equal(changed.code, 'SignatureDoesNotMatch');
  });

  test('a payload that is not the signed one is refused and not stored', async () => {
    const target = open();
    const request = put(target);
    const answer = await sendSigned(target, { ...request, payloadHash: sha256('other bytes') });
    assert.equal(answer.status, 400);
    assert.match(answer.code, /^(XAmzContentSHA256Mismatch|BadDigest)$/);
    assert.equal((await sendSigned(target, { method: 'GET', path: request.path })).status, 404);
  });

  for (const [what, change] of [
    ['method', { method: 'DELETE' }],
    ['key', { path: 'other' }],
    ['header', { header: ['x-amz-meta-a', '2'] }],
  ] as const) {
    test(`a signature for another ${what} is refused`, async () => {
      const target = open();
      const request = put(target);
      const { headers } = signHeaders(target, request);
      const answer = await send(target, {
        ...request,
        method: 'method' in change ? change.method : request.method,
        path: 'path' in change ? `${request.path}${change.path}` : request.path,
        headers: { ...headers, ...('header' in change ? { [change.header[0]]: change.header[1] } : {}) },
      });
      assert.equal(answer.status, 403);
      assert.equal(answer.code, 'SignatureDoesNotMatch');
      assert.ok(answer.headers['x-amz-request-id']);
      assert.match(answer.text, /<RequestId>\w+<\/RequestId>/);
    });
  }

  test('a wrong secret, an unknown key and no signature at all are refused', async () => {
    const target = open();
    const request = put(target);
    const { accessKeyId } = target.credentials;
    const wrongSecret = { ...target, credentials: { accessKeyId, secretAccessKey: 'wrong' } };
    const unknownKey = { ...target, credentials: { accessKeyId: 'NOBODYSACCESSKEY0000', secretAccessKey: 'any' } };
    assert.equal((await sendSigned(wrongSecret, request)).code, 'SignatureDoesNotMatch');
    const { status, code } = await sendSigned(unknownKey, request);
    if (target.profile.has('other-unknown-key')) assert.ok(status >= 400 && status < 500);
    else assert.deepEqual({ status, code }, { status: 403, code: 'InvalidAccessKeyId' });
    const nobody = await send(target, { ...request, headers: { 'content-length': '5' } });
    assert.equal(nobody.status, 403);
    assert.equal(nobody.code, 'AccessDenied');
  });

  test('a header that changes what is done must be signed', async (t) => {
    const target = open();
    if (target.profile.has('unsigned-headers')) return t.skip('this server differs: unsigned-headers');
    const request = put(target);
    const { headers } = signHeaders(target, request);
    const answer = await send(target, { ...request, headers: { ...headers, 'x-amz-copy-source': '/other/key' } });
    assert.equal(answer.status, 403);
  });

  test('a request signed long ago, or for later, is refused', async () => {
    const target = open();
    for (const when of [new Date(Date.now() - HOUR_MS), new Date(Date.now() + HOUR_MS)]) {
      const answer = await sendSigned(target, put(target), when);
      assert.equal(answer.status, 403);
      assert.equal(answer.code, 'RequestTimeTooSkewed');
    }
  });

  test('a signature for another region is refused, and the right one is named', async (t) => {
    const target = open();
    if (target.profile.has('any-region')) return t.skip('this server differs: any-region');
    const answer = await sendSigned({ ...target, region: 'mars-north-1' }, put(target));
    assert.equal(answer.status, 400);
    assert.equal(answer.code, 'AuthorizationHeaderMalformed');
    assert.match(answer.text, new RegExp(target.region));
  });

  test('a garbled Authorization header is refused, not a failure', async () => {
    const target = open();
    const request = put(target);
    const { headers } = signHeaders(target, request);
    for (const authorization of ['AWS4-HMAC-SHA256', 'AWS4-HMAC-SHA256 Credential=a/b', 'Bearer x', 'AWS a:b', ' ']) {
      const answer = await send(target, { ...request, headers: { ...headers, authorization } });
      assert.ok(answer.status >= 400 && answer.status < 500, `${authorization}: ${answer.status}`);
    }
  });
}
