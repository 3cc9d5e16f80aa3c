import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { CountingProxy } from '../../bench/measure/counting-proxy.ts';
import { operationNameOf } from '../../bench/measure/s3-operations.ts';

const REQUESTS: readonly (readonly [method: string, target: string, name: string])[] = [
  ['PUT', '/bucket/some/key', 'PutObject'],
  ['PUT', '/bucket/key?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00', 'PutObject'],
  ['PUT', '/bucket/key?x-id=PutObject', 'PutObject'],
  ['GET', '/bucket/key?x-id=GetObject', 'GetObject'],
  ['HEAD', '/bucket/key', 'HeadObject'],
  ['DELETE', '/bucket/key', 'DeleteObject'],
  ['POST', '/bucket/key?uploads=', 'CreateMultipartUpload'],
  ['POST', '/bucket/key?uploads', 'CreateMultipartUpload'],
  ['PUT', '/bucket/key?partNumber=2&uploadId=u%2B1', 'UploadPart'],
  ['GET', '/bucket/key?uploadId=u&max-parts=1000', 'ListParts'],
  ['POST', '/bucket/key?uploadId=u', 'CompleteMultipartUpload'],
  ['DELETE', '/bucket/key?uploadId=u', 'AbortMultipartUpload'],
  ['GET', '/bucket?list-type=2&prefix=uploads%2F', 'ListObjects'],
  ['GET', '/bucket/?list-type=2', 'ListObjects'],
  ['GET', '/bucket?uploads&prefix=a', 'ListMultipartUploads'],
  ['HEAD', '/bucket/', 'HeadBucket'],
  ['POST', '/bucket/?delete=', 'DeleteObjects'],
  ['PATCH', '/bucket/key', 'PATCH of an object'],
];

test('requests to S3 are told apart as the benchmark counts them', () => {
  for (const [method, target, name] of REQUESTS) {
    assert.equal(operationNameOf(method, target, false), name, `${method} ${target}`);
  }
  assert.equal(operationNameOf('PUT', '/bucket/key', true), 'CopyObject');
  assert.equal(operationNameOf('PUT', '/bucket/key?partNumber=1&uploadId=u', true), 'UploadPartCopy');
});

test('the counting proxy hands requests on as they are, and counts them', async (t) => {
  const seen: string[] = [];
  const target = createServer(async (request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.host} ${(await request.toArray()).join('')}`);
    response.writeHead(201, { ETag: '"e"' }).end('stored');
  }).listen(0, '127.0.0.1');
  t.after(() => target.close());
  await once(target, 'listening');
  const proxy = await CountingProxy.start(`http://127.0.0.1:${(target.address() as AddressInfo).port}`);
  t.after(() => proxy.close());

  for (const part of [1, 2]) {
    const response = await fetch(`${proxy.endpoint}/b/k?partNumber=${part}&uploadId=u`, {
      method: 'PUT',
      body: 'bytes',
    });
    assert.deepEqual([response.status, response.headers.get('etag'), await response.text()], [201, '"e"', 'stored']);
  }

  const host = proxy.endpoint.slice('http://'.length);
  assert.deepEqual(seen, [
    `PUT /b/k?partNumber=1&uploadId=u ${host} bytes`,
    `PUT /b/k?partNumber=2&uploadId=u ${host} bytes`,
  ]);
  assert.deepEqual(await proxy.counts(), new Map([['UploadPart', 2]]));
  proxy.reset();
  assert.deepEqual(await proxy.counts(), new Map());
});
