import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteBucketCorsCommand,
  DeleteObjectCommand,
  GetBucketCorsCommand,
  GetBucketLocationCommand,
  HeadBucketCommand,
  ListBucketsCommand,
  PutBucketCorsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { refused, sdkTest } from './s3-checks.ts';
import type { OpenTarget } from './s3-suite.ts';

export function bucketContract(open: OpenTarget): void {
  sdkTest(open, 'a bucket is created, found, listed and deleted', async ({ client }) => {
    const Bucket = `contract-${randomUUID()}`;
    await refused(client.send(new HeadBucketCommand({ Bucket })), 404);
    await client.send(new CreateBucketCommand({ Bucket }));
    await client.send(new HeadBucketCommand({ Bucket }));
    const { Buckets } = await client.send(new ListBucketsCommand({}));
    const listed = Buckets?.find((it) => it.Name === Bucket);
    assert.ok(listed?.CreationDate instanceof Date);
    await client.send(new DeleteBucketCommand({ Bucket }));
    await refused(client.send(new HeadBucketCommand({ Bucket })), 404);
    await refused(client.send(new DeleteBucketCommand({ Bucket })), 404, 'NoSuchBucket');
  });

  sdkTest(open, 'a bucket that has objects is not deleted', async ({ client }) => {
    const Bucket = `contract-${randomUUID()}`;
    await client.send(new CreateBucketCommand({ Bucket }));
    await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }));
    await refused(client.send(new DeleteBucketCommand({ Bucket })), 409, 'BucketNotEmpty');
    await client.send(new DeleteObjectCommand({ Bucket, Key: 'k' }));
    await client.send(new DeleteBucketCommand({ Bucket }));
  });

  sdkTest(open, 'a bucket is not created a second time', async ({ client, bucket }) => {
    await refused(client.send(new CreateBucketCommand({ Bucket: bucket })), 409, 'BucketAlreadyOwnedByYou');
  });

  sdkTest(open, 'a bucket name that no host name can have is refused', async ({ client }) => {
    await refused(client.send(new CreateBucketCommand({ Bucket: 'No_Capitals' })), 400, 'InvalidBucketName');
  });

  sdkTest(open, 'the location of a bucket is the region', async ({ client, bucket, target }) => {
    const { LocationConstraint } = await client.send(new GetBucketLocationCommand({ Bucket: bucket }));
    assert.equal(LocationConstraint || 'us-east-1', target.region); // the first region has no name
  });

  sdkTest(open, 'nothing can be done in a bucket that is not there', async ({ client }) => {
    const Bucket = `contract-${randomUUID()}`;
    await refused(client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' })), 404, 'NoSuchBucket');
    await refused(client.send(new CreateMultipartUploadCommand({ Bucket, Key: 'k' })), 404, 'NoSuchBucket');
  });

  sdkTest(
    open,
    'CORS rules are kept, decide about preflights, and can be removed',
    async ({ client, target }) => {
      const Bucket = `contract-${randomUUID()}`;
      await client.send(new CreateBucketCommand({ Bucket }));
      await refused(client.send(new GetBucketCorsCommand({ Bucket })), 404, 'NoSuchCORSConfiguration');
      const rule = {
        AllowedOrigins: ['https://*.example.com'],
        AllowedMethods: ['PUT'],
        AllowedHeaders: ['content-type', 'x-amz-*'],
        ExposeHeaders: ['ETag'],
        MaxAgeSeconds: 60,
      };
      await client.send(new PutBucketCorsCommand({ Bucket, CORSConfiguration: { CORSRules: [rule] } }));
      assert.deepEqual((await client.send(new GetBucketCorsCommand({ Bucket }))).CORSRules, [rule]);
      const preflight = (origin: string, method: string, headers: string) =>
        fetch(`${target.endpoint}/${Bucket}/k`, {
          method: 'OPTIONS',
          headers: {
            origin,
            'access-control-request-method': method,
            'access-control-request-headers': headers,
          },
        });
      const allowed = await preflight('https://a.example.com', 'PUT', 'content-type, x-amz-meta-a');
      assert.equal(allowed.status, 200);
      assert.equal(allowed.headers.get('access-control-allow-origin'), 'https://a.example.com');
      assert.match(allowed.headers.get('access-control-allow-headers') ?? '', /content-type.*x-amz-meta-a/i);
      assert.equal((await preflight('https://other.example', 'PUT', 'content-type')).status, 403);
      assert.equal((await preflight('https://a.example.com', 'DELETE', 'content-type')).status, 403);
      assert.equal((await preflight('https://a.example.com', 'PUT', 'authorization')).status, 403);
      await client.send(new DeleteBucketCorsCommand({ Bucket }));
      await refused(client.send(new GetBucketCorsCommand({ Bucket })), 404, 'NoSuchCORSConfiguration');
      await client.send(new DeleteBucketCommand({ Bucket }));
    },
    'no-bucket-cors',
  );
}
