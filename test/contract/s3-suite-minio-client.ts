/** The same server through another client: `minio`, which streams aws-chunked or signed bodies and lists in its own way. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import test from 'node:test';
import { CreateMultipartUploadCommand } from '@aws-sdk/client-s3';
import { type Client, CopyDestinationOptions, CopySourceOptions } from 'minio';
import { AWKWARD_NAME, MIB, PART_BYTES, sameBytes } from './s3-checks.ts';
import type { OpenTarget } from './s3-suite.ts';
import { freshPrefix, minioClient, type S3Target, sdkClient } from './s3-target.ts';

interface MinioCase {
  target: S3Target;
  client: Client;
  bucket: string;
  prefix: string;
}

export function minioClientContract(open: OpenTarget): void {
  const minioTest = (what: string, run: (it: MinioCase) => Promise<void>) =>
    test(`minio client: ${what}`, async () => {
      const target = open();
      await run({ target, client: minioClient(target), bucket: target.bucket, prefix: freshPrefix() });
    });

  minioTest('put, stat, get and ranged get', async ({ client, bucket, prefix }) => {
    const key = prefix + AWKWARD_NAME;
    const content = randomBytes(300_000);
    const { etag } = await client.putObject(bucket, key, content, content.length, {
      'Content-Type': 'image/png',
      'X-Amz-Meta-A': '1',
    });
    const stat = await client.statObject(bucket, key);
    assert.equal(stat.etag, etag);
    assert.equal(stat.size, 300_000);
    assert.equal(stat.metaData['content-type'], 'image/png');
    assert.equal(stat.metaData.a, '1');
    sameBytes(await bytesOf(await client.getObject(bucket, key)), content);
    sameBytes(await bytesOf(await client.getPartialObject(bucket, key, 100, 50)), content.subarray(100, 150));
  });

  minioTest(
    'a stream of unknown length is put in parts, and read back to a file',
    async ({ client, bucket, prefix }) => {
      const content = randomBytes(12 * MIB);
      const stream = Readable.from(Array.from({ length: 12 }, (_, n) => content.subarray(n * MIB, (n + 1) * MIB)));
      const { etag } = await client.putObject(bucket, `${prefix}k`, stream);
      assert.match(etag, /-\d+$/); // it was a multipart upload
      const folder = await mkdtemp(join(tmpdir(), 's3-contract-'));
      try {
        await client.fGetObject(bucket, `${prefix}k`, join(folder, 'k'));
        sameBytes(await readFile(join(folder, 'k')), content);
      } finally {
        await rm(folder, { recursive: true });
      }
    },
  );

  // Keys of ASCII: for a compose this client does not encode them.
  minioTest('copy, and compose of several objects', async ({ client, bucket, prefix }) => {
    const contents = [randomBytes(PART_BYTES), randomBytes(1_000)];
    for (const [index, content] of contents.entries())
      await client.putObject(bucket, `${prefix}part ${index}`, content);
    await client.copyObject(
      new CopySourceOptions({ Bucket: bucket, Object: `${prefix}part 0` }),
      new CopyDestinationOptions({ Bucket: bucket, Object: `${prefix}copy` }),
    );
    sameBytes(await bytesOf(await client.getObject(bucket, `${prefix}copy`)), contents[0] ?? Buffer.alloc(0));
    await client.composeObject(
      new CopyDestinationOptions({ Bucket: bucket, Object: `${prefix}joined` }),
      [0, 1].map((index) => new CopySourceOptions({ Bucket: bucket, Object: `${prefix}part ${index}` })),
    );
    sameBytes(await bytesOf(await client.getObject(bucket, `${prefix}joined`)), Buffer.concat(contents));
  });

  minioTest('lists, of both versions, flat and by folder', async ({ client, bucket, prefix }) => {
    const names = ['a b', 'f/1', 'f/2', 'ü & <z>'];
    for (const name of names) await client.putObject(bucket, prefix + name, name);
    for (const list of [
      (recursive: boolean) => client.listObjectsV2(bucket, prefix, recursive),
      (recursive: boolean) => client.listObjects(bucket, prefix, recursive),
    ]) {
      assert.deepEqual(await namesOf(list(true), prefix), names);
      assert.deepEqual((await namesOf(list(false), prefix)).toSorted(), ['a b', 'f/', 'ü & <z>']);
    }
  });

  minioTest('incomplete uploads are found and removed', async ({ target, client, bucket, prefix }) => {
    const sdk = sdkClient(target);
    const Key = `${prefix}unfinished`;
    await sdk.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
    sdk.destroy();
    const found = async () => {
      const names: string[] = [];
      for await (const upload of client.listIncompleteUploads(bucket, Key, true)) names.push(upload.key);
      return names;
    };
    assert.deepEqual(await found(), [Key]);
    await client.removeIncompleteUpload(bucket, Key);
    assert.deepEqual(await found(), []);
  });

  minioTest('one object is removed, and many', async ({ client, bucket, prefix }) => {
    const names = ['a', 'b', AWKWARD_NAME].map((name) => prefix + name);
    for (const name of names) await client.putObject(bucket, name, 'x');
    await client.removeObject(bucket, names[0] ?? '');
    await assert.rejects(client.statObject(bucket, names[0] ?? ''), { code: 'NotFound' });
    await client.removeObjects(bucket, names);
    assert.deepEqual(await namesOf(client.listObjectsV2(bucket, prefix, true), prefix), []);
  });

  minioTest('presigned PUT and GET', async ({ client, bucket, prefix }) => {
    const put = await fetch(await client.presignedPutObject(bucket, `${prefix}k`, 60), {
      method: 'PUT',
      body: 'bytes',
    });
    assert.equal(put.status, 200, await put.text());
    const got = await fetch(
      await client.presignedGetObject(bucket, `${prefix}k`, 60, { 'response-content-type': 'image/png' }),
    );
    assert.equal(await got.text(), 'bytes');
    assert.equal(got.headers.get('content-type'), 'image/png');
  });

  minioTest('errors have S3’s codes', async ({ client, bucket, prefix }) => {
    await assert.rejects(client.getObject(bucket, `${prefix}none`), { code: 'NoSuchKey' });
    await assert.rejects(client.getObject('contract-not-there', 'k'), { code: 'NoSuchBucket' });
    assert.equal(await client.bucketExists(bucket), true);
    assert.equal(await client.bucketExists('contract-not-there'), false);
  });
}

async function bytesOf(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function namesOf(list: Readable, prefix: string): Promise<string[]> {
  const names: string[] = [];
  for await (const item of list as AsyncIterable<{ name?: string; prefix?: string }>) {
    names.push((item.name ?? item.prefix ?? '').slice(prefix.length));
  }
  return names;
}
