import assert from 'node:assert/strict';
import test from 'node:test';
import { findBucketAddress, isLoopback } from '../../src/s3/bucket-address.ts';
import type { S3Settings } from '../../src/s3/s3-client.ts';
import { S3ObjectStorage } from '../../src/s3/s3-object-storage.ts';
import { TEST_SETTINGS } from '../support/fake-s3-server.ts';

const ADDRESSES: { settings: Partial<S3Settings>; at: string }[] = [
  { settings: { forcePathStyle: false }, at: 'https://test-bucket.s3.us-east-1.amazonaws.com/' },
  { settings: { forcePathStyle: true }, at: 'https://s3.us-east-1.amazonaws.com/test-bucket/' },
  {
    settings: { forcePathStyle: false, region: 'cn-north-1' },
    at: 'https://test-bucket.s3.cn-north-1.amazonaws.com.cn/',
  },
  // A name with dots does not fit the wildcard certificate.
  { settings: { forcePathStyle: false, bucket: 'with.dots' }, at: 'https://s3.us-east-1.amazonaws.com/with.dots/' },
  {
    settings: { forcePathStyle: false, endpoint: 'https://s3.example.com' },
    at: 'https://test-bucket.s3.example.com/',
  },
  { settings: { endpoint: 'http://minio:9000/' }, at: 'http://minio:9000/test-bucket/' },
  { settings: { endpoint: 'https://example.com/some/path' }, at: 'https://example.com/some/path/test-bucket/' },
  { settings: { endpoint: 'http://[::1]:9000' }, at: 'http://[::1]:9000/test-bucket/' },
];

for (const { settings, at } of ADDRESSES) {
  test(`the requests of ${JSON.stringify(settings)} go to ${at}`, async (t) => {
    const all = { ...TEST_SETTINGS, ...settings };
    const storage = new S3ObjectStorage(all);
    t.after(() => storage.close());
    const address = await findBucketAddress(storage.client, all.bucket);
    assert.equal(`${address.secure ? 'https' : 'http'}://${address.host}${address.basePath}`, at);
    assert.equal(address.signingRegion, all.region);
    assert.equal(address.signingService, 's3');
    assert.doesNotMatch(address.hostname, /[[\]]/);
  });
}

test('a bucket that wants another kind of signature is not written to by hand', async (t) => {
  const storage = new S3ObjectStorage({ ...TEST_SETTINGS, forcePathStyle: false });
  t.after(() => storage.close());
  const accessPoint = 'arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap';
  await assert.rejects(findBucketAddress(storage.client, accessPoint));
});

test('only addresses of this machine are loopback', () => {
  for (const name of ['localhost', 'bucket.localhost', '127.0.0.1', '127.8.9.10', '::1']) {
    assert.equal(isLoopback(name), true, name);
  }
  for (const name of ['127.0.0.1.example.com', 'localhost.example.com', '10.0.0.1', '::2', 'minio']) {
    assert.equal(isLoopback(name), false, name);
  }
});
