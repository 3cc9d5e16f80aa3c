/** The server's side of signature version 4 against the examples that AWS publishes (S3 API Reference). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Authority, authenticate, type IncomingSignature } from '../../src/dev-s3/authenticate.ts';
import { AwsChunkedDecoder } from '../../src/dev-s3/aws-chunked.ts';
import { parseTarget } from '../../src/dev-s3/request-target.ts';
import { SigningKeys } from '../../src/dev-s3/sigv4.ts';

const ACCESS_KEY_ID = 'AKIAIOSFODNN7EXAMPLE';
const CREDENTIAL = `${ACCESS_KEY_ID}/20130524/us-east-1/s3/aws4_request`;
const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const NOW = new Date('2013-05-24T00:00:10Z');

function authority(): Authority {
  return {
    accessKeyId: ACCESS_KEY_ID,
    region: 'us-east-1',
    keys: new SigningKeys('wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'),
  };
}

test('GET Object: a range, an empty payload', () => {
  const request = signedRequest(
    'GET',
    '/test.txt',
    'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    {
      host: 'examplebucket.s3.amazonaws.com',
      range: 'bytes=0-9',
      'x-amz-content-sha256': EMPTY_SHA256,
      'x-amz-date': '20130524T000000Z',
    },
  );
  assert.equal(authenticate(request, authority(), NOW).sha256, EMPTY_SHA256);
});

test('PUT Object: a key with a $, further headers', () => {
  const sha256 = '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072';
  const request = signedRequest(
    'PUT',
    '/test$file.text',
    '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
    {
      date: 'Fri, 24 May 2013 00:00:00 GMT',
      host: 'examplebucket.s3.amazonaws.com',
      'x-amz-content-sha256': sha256,
      'x-amz-date': '20130524T000000Z',
      'x-amz-storage-class': 'REDUCED_REDUNDANCY',
    },
  );
  assert.equal(authenticate(request, authority(), NOW).sha256, sha256);
});

test('GET Bucket lifecycle and GET Bucket: a parameter without a value, two with', () => {
  const headers = {
    host: 'examplebucket.s3.amazonaws.com',
    'x-amz-content-sha256': EMPTY_SHA256,
    'x-amz-date': '20130524T000000Z',
  };
  for (const [path, signature] of [
    ['/?lifecycle', 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543'],
    ['/?max-keys=2&prefix=J', '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7'],
  ] as const) {
    authenticate(signedRequest('GET', path, signature, headers), authority(), NOW);
    const other = signedRequest('GET', `${path}2`, signature, headers);
    assert.throws(() => authenticate(other, authority(), NOW), { code: 'SignatureDoesNotMatch' });
  }
});

test('a presigned GET, until its last second', () => {
  const query = [
    'X-Amz-Algorithm=AWS4-HMAC-SHA256',
    `X-Amz-Credential=${encodeURIComponent(CREDENTIAL)}`,
    'X-Amz-Date=20130524T000000Z',
    'X-Amz-Expires=86400',
    'X-Amz-SignedHeaders=host',
    'X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404',
  ].join('&');
  const request = incoming('GET', `/test.txt?${query}`, { host: 'examplebucket.s3.amazonaws.com' });
  assert.deepEqual(authenticate(request, authority(), new Date('2013-05-25T00:00:00Z')), {
    ...{ framing: 'whole', trailer: false, sha256: null, chunkSigner: null },
  });
  assert.throws(() => authenticate(request, authority(), new Date('2013-05-25T00:00:01Z')), {
    code: 'AccessDenied',
    message: 'Request has expired',
  });
  const tomorrow = new Date('2013-05-23T23:00:00Z');
  assert.throws(() => authenticate(request, authority(), tomorrow), { message: 'Request is not yet valid' });
});

test('PUT in signed chunks: 64 KiB, 1 KiB, the end', () => {
  const request = signedRequest(
    'PUT',
    '/examplebucket/chunkObject.txt',
    '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
    {
      'content-encoding': 'aws-chunked',
      'content-length': '66824',
      host: 's3.amazonaws.com',
      'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
      'x-amz-date': '20130524T000000Z',
      'x-amz-decoded-content-length': '66560',
      'x-amz-storage-class': 'REDUCED_REDUNDANCY',
    },
  );
  const body = Buffer.concat([
    chunk(65_536, 'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648'),
    chunk(1_024, '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497'),
    chunk(0, 'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9'),
  ]);
  // However the connection cuts it.
  for (const pieceBytes of [body.length, 1_000, 7]) {
    const decoder = new AwsChunkedDecoder(authenticate(request, authority(), NOW));
    let bytes = 0;
    for (let at = 0; at < body.length; at += pieceBytes) {
      decoder.push(body.subarray(at, at + pieceBytes), (content) => {
        assert.ok(content.every((byte) => byte === 0x61));
        bytes += content.length;
      });
    }
    decoder.end();
    assert.equal(bytes, 66_560);
  }
  const broken = new AwsChunkedDecoder(authenticate(request, authority(), NOW));
  const changed = Buffer.from(body);
  changed.writeUInt8(0x62, 70_000 - 4_000);
  assert.throws(() => broken.push(changed, () => {}), { code: 'SignatureDoesNotMatch' });
});

test('a body that ends before its last chunk is not whole', () => {
  const claim = { framing: 'unsigned-chunks', trailer: true, sha256: null, chunkSigner: null } as const;
  for (const text of ['', '5\r\nabc', '5\r\nabcde\r\n', '5\r\nabcde']) {
    const decoder = new AwsChunkedDecoder(claim);
    decoder.push(Buffer.from(text), () => {});
    assert.throws(() => decoder.end(), { code: 'IncompleteBody' }, JSON.stringify(text));
  }
  for (const text of [
    'zz\r\n',
    '5\r\nabcdefgh\r\n',
    '0\r\nno colon\r\n',
    '5;chunk-signature=1\r\n',
    `${'1'.repeat(9_000)}`,
  ]) {
    const decoder = new AwsChunkedDecoder(claim);
    assert.throws(() => decoder.push(Buffer.from(text), () => {}), { code: 'InvalidRequest' }, text.slice(0, 20));
  }
});

function chunk(bytes: number, signature: string): Buffer {
  return Buffer.from(`${bytes.toString(16)};chunk-signature=${signature}\r\n${'a'.repeat(bytes)}\r\n`);
}

function signedRequest(method: string, path: string, signature: string, headers: Record<string, string>) {
  const names = Object.keys(headers).filter((name) => name !== 'content-length' || path.startsWith('/examplebucket'));
  const authorization = `AWS4-HMAC-SHA256 Credential=${CREDENTIAL},SignedHeaders=${names.sort().join(';')},Signature=${signature}`;
  return incoming(method, path, { ...headers, authorization });
}

function incoming(method: string, path: string, headers: Record<string, string>): IncomingSignature {
  // In the examples the bucket is in the host; the path is what is signed, wherever it is.
  return { method, headers, rawHeaders: Object.entries(headers).flat(), target: parseTarget(path) };
}
