import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  ChecksumAlgorithm,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { AWKWARD_NAME, bodyOf, MIB, refused, sameBytes, sdkTest } from './s3-checks.ts';
import type { OpenTarget } from './s3-suite.ts';

export function objectContract(open: OpenTarget): void {
  sdkTest(open, 'an object comes back with its bytes and all its headers', async ({ client, bucket, prefix }) => {
    const where = { Bucket: bucket, Key: prefix + AWKWARD_NAME };
    const content = randomBytes(300_000);
    const headers = {
      ContentType: 'text/plain; charset=utf-8',
      ContentDisposition: `attachment; filename="a  b.txt"; filename*=UTF-8''%C3%BC.txt`,
      ContentEncoding: 'identity',
      ContentLanguage: 'de',
      CacheControl: 'private, max-age=60',
      Metadata: { upload: 'u-1', 'with-dash': 'a  b' },
    };
    const put = await client.send(new PutObjectCommand({ ...where, Body: content, ...headers }));
    assert.equal(put.ETag, `"${createHash('md5').update(content).digest('hex')}"`);
    const got = await client.send(new GetObjectCommand(where));
    sameBytes(await bodyOf(got), content);
    const head = await client.send(new HeadObjectCommand(where));
    for (const answer of [got, head]) {
      for (const [name, value] of Object.entries(headers)) {
        const expected =
          name === 'Metadata' ? { ...headers.Metadata, 'with-dash': answer.Metadata?.['with-dash'] } : value;
        assert.deepEqual(answer[name as keyof typeof headers], expected, name);
      }
      assert.match(answer.Metadata?.['with-dash'] ?? '', /^a +b$/); // signing folds blanks
      assert.equal(answer.ContentLength, 300_000);
      assert.equal(answer.ETag, put.ETag);
      assert.equal(answer.AcceptRanges, 'bytes');
      assert.ok(Math.abs(Date.now() - (answer.LastModified?.getTime() ?? 0)) < 60_000);
    }
  });

  sdkTest(open, 'an object may be empty, and one of several megabytes may come as a stream', async (it) => {
    const { client, bucket: Bucket, prefix } = it;
    await client.send(new PutObjectCommand({ Bucket, Key: `${prefix}empty`, Body: '' }));
    assert.equal((await bodyOf(await client.send(new GetObjectCommand({ Bucket, Key: `${prefix}empty` })))).length, 0);
    const content = randomBytes(3 * MIB + 1);
    const Body = Readable.from(Array.from({ length: 49 }, (_, n) => content.subarray(n * 65_536, (n + 1) * 65_536)));
    const where = { Bucket, Key: `${prefix}stream` };
    await client.send(new PutObjectCommand({ ...where, Body, ContentLength: content.length }));
    sameBytes(await bodyOf(await client.send(new GetObjectCommand(where))), content);
    const encoding = (await client.send(new HeadObjectCommand(where))).ContentEncoding;
    if (!it.target.profile.has('keeps-aws-chunked')) assert.equal(encoding, undefined);
  });

  sdkTest(open, 'a second object under a key replaces the first', async ({ client, bucket, prefix, target }) => {
    const where = { Bucket: bucket, Key: `${prefix}k` };
    await client.send(new PutObjectCommand({ ...where, Body: 'one', Metadata: { a: '1' } }));
    await client.send(new PutObjectCommand({ ...where, Body: 'two!' }));
    const got = await client.send(new GetObjectCommand(where));
    assert.equal((await bodyOf(got)).toString(), 'two!');
    if (!target.profile.has('keeps-old-metadata')) assert.deepEqual(got.Metadata, {});
  });

  sdkTest(open, 'ranges are read from their first to their last byte', async ({ client, bucket, prefix }) => {
    const where = { Bucket: bucket, Key: `${prefix}k` };
    await client.send(new PutObjectCommand({ ...where, Body: '0123456789' }));
    for (const [range, bytes, contentRange] of [
      ['bytes=2-4', '234', 'bytes 2-4/10'],
      ['bytes=7-', '789', 'bytes 7-9/10'],
      ['bytes=-3', '789', 'bytes 7-9/10'],
      ['bytes=0-0', '0', 'bytes 0-0/10'],
      ['bytes=8-100', '89', 'bytes 8-9/10'],
    ] as const) {
      const got = await client.send(new GetObjectCommand({ ...where, Range: range }));
      assert.equal(got.$metadata.httpStatusCode, 206);
      assert.equal(got.ContentRange, contentRange);
      assert.equal((await bodyOf(got)).toString(), bytes);
    }
    await refused(client.send(new GetObjectCommand({ ...where, Range: 'bytes=10-' })), 416, 'InvalidRange');
  });

  sdkTest(open, 'conditions on reading are heeded', async ({ client, bucket, prefix }) => {
    const where = { Bucket: bucket, Key: `${prefix}k` };
    const { ETag } = await client.send(new PutObjectCommand({ ...where, Body: 'x' }));
    const hourAgo = new Date(Date.now() - 3_600_000);
    const hourAhead = new Date(Date.now() + 3_600_000);
    await client.send(new GetObjectCommand({ ...where, IfMatch: ETag }));
    await client.send(new GetObjectCommand({ ...where, IfNoneMatch: '"other"' }));
    await client.send(new GetObjectCommand({ ...where, IfModifiedSince: hourAgo }));
    await client.send(new GetObjectCommand({ ...where, IfUnmodifiedSince: hourAhead }));
    await refused(client.send(new GetObjectCommand({ ...where, IfNoneMatch: ETag })), 304);
    await refused(client.send(new HeadObjectCommand({ ...where, IfNoneMatch: ETag })), 304);
    await refused(client.send(new GetObjectCommand({ ...where, IfMatch: '"other"' })), 412, 'PreconditionFailed');
    await refused(client.send(new GetObjectCommand({ ...where, IfUnmodifiedSince: hourAgo })), 412);
  });

  sdkTest(open, 'what is not there is a 404, for GET, HEAD and ranges', async ({ client, bucket, prefix }) => {
    const where = { Bucket: bucket, Key: `${prefix}none` };
    await refused(client.send(new GetObjectCommand(where)), 404, 'NoSuchKey');
    await refused(client.send(new GetObjectCommand({ ...where, Range: 'bytes=0-1' })), 404, 'NoSuchKey');
    await refused(client.send(new HeadObjectCommand(where)), 404);
  });

  sdkTest(
    open,
    'deleting removes; what was not there counts as deleted',
    async ({ target, client, bucket, prefix }) => {
      const keys = [`${prefix}a`, prefix + AWKWARD_NAME, `${prefix}c & <d>`];
      for (const Key of keys) await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: 'x' }));
      await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: `${prefix}a` }));
      await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: `${prefix}a` }));
      const Objects = [...keys, `${prefix}none`].map((Key) => ({ Key }));
      const batch = await client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects } }));
      assert.deepEqual(batch.Deleted?.map((it) => it.Key).sort(), Objects.map((it) => it.Key).sort());
      assert.equal(batch.Errors, undefined);
      for (const Key of keys) await refused(client.send(new HeadObjectCommand({ Bucket: bucket, Key })), 404);
      const quiet = await client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true } }));
      if (!target.profile.has('never-quiet')) assert.deepEqual(quiet.Deleted ?? [], []);
    },
  );

  sdkTest(
    open,
    'If-None-Match: * writes once, If-Match replaces only what it names',
    async ({ client, bucket, prefix }) => {
      const where = { Bucket: bucket, Key: `${prefix}k` };
      const first = await client.send(new PutObjectCommand({ ...where, Body: 'one', IfNoneMatch: '*' }));
      await refused(
        client.send(new PutObjectCommand({ ...where, Body: 'two', IfNoneMatch: '*' })),
        412,
        'PreconditionFailed',
      );
      await client.send(new PutObjectCommand({ ...where, Body: 'three', IfMatch: first.ETag }));
      await refused(client.send(new PutObjectCommand({ ...where, Body: 'four', IfMatch: first.ETag })), 412);
      assert.equal((await bodyOf(await client.send(new GetObjectCommand(where)))).toString(), 'three');
    },
  );

  for (const algorithm of Object.values(ChecksumAlgorithm).filter((it) =>
    /^(CRC32|CRC32C|CRC64NVME|SHA1|SHA256)$/.test(it),
  )) {
    sdkTest(open, `a ${algorithm} checksum is verified, kept and given back`, async ({ client, bucket, prefix }) => {
      const where = { Bucket: bucket, Key: `${prefix}k` };
      const name = `Checksum${algorithm}` as 'ChecksumCRC32';
      const put = await client.send(
        new PutObjectCommand({ ...where, Body: randomBytes(100_000), ChecksumAlgorithm: algorithm }),
      );
      assert.ok(put[name], 'the answer names no checksum');
      const head = await client.send(new HeadObjectCommand({ ...where, ChecksumMode: 'ENABLED' }));
      assert.equal(head[name], put[name]);
      await bodyOf(await client.send(new GetObjectCommand({ ...where, ChecksumMode: 'ENABLED' }))); // the SDK checks it
      const wrong = new PutObjectCommand({ ...where, Body: 'other bytes', [name]: put[name] });
      await refused(client.send(wrong), 400);
    });
  }

  sdkTest(open, 'the answer of a GET has the headers that the query asks for', async ({ client, bucket, prefix }) => {
    const where = { Bucket: bucket, Key: `${prefix}k` };
    await client.send(new PutObjectCommand({ ...where, Body: 'x', ContentType: 'text/plain' }));
    const got = await client.send(
      new GetObjectCommand({
        ...where,
        ResponseContentType: 'image/png',
        ResponseContentDisposition: 'attachment; filename="b.png"',
        ResponseCacheControl: 'no-store',
      }),
    );
    assert.equal(got.ContentType, 'image/png');
    assert.equal(got.ContentDisposition, 'attachment; filename="b.png"');
    assert.equal(got.CacheControl, 'no-store');
  });
}
