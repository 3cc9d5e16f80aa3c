import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { AWKWARD_NAME, bodyOf, PART_BYTES, refused, type SdkCase, sameBytes, sdkTest } from './s3-checks.ts';
import type { OpenTarget } from './s3-suite.ts';

export function copyContract(open: OpenTarget): void {
  sdkTest(open, 'a copy has the bytes and the headers of its source', async ({ client, bucket, prefix }) => {
    const source = prefix + AWKWARD_NAME;
    const content = randomBytes(700_000);
    await client.send(
      new PutObjectCommand({
        ...{ Bucket: bucket, Key: source, Body: content },
        ...{ ContentType: 'image/png', Metadata: { a: '1' } },
      }),
    );
    const copy = { Bucket: bucket, Key: `${prefix}copy` };
    const { CopyObjectResult } = await client.send(
      new CopyObjectCommand({ ...copy, CopySource: pathOf(bucket, source) }),
    );
    const got = await client.send(new GetObjectCommand(copy));
    assert.equal(got.ETag, CopyObjectResult?.ETag);
    assert.equal(got.ContentType, 'image/png');
    assert.deepEqual(got.Metadata, { a: '1' });
    sameBytes(await bodyOf(got), content);
  });

  sdkTest(
    open,
    'a copy takes other headers when it is told to, also onto itself',
    async ({ client, bucket, prefix }) => {
      const where = { Bucket: bucket, Key: `${prefix}k` };
      await client.send(
        new PutObjectCommand({ ...where, Body: 'bytes', ContentType: 'text/plain', Metadata: { a: '1' } }),
      );
      const CopySource = pathOf(bucket, where.Key);
      await refused(client.send(new CopyObjectCommand({ ...where, CopySource })), 400, 'InvalidRequest');
      await client.send(
        new CopyObjectCommand({
          ...{ ...where, CopySource, MetadataDirective: 'REPLACE' },
          ...{ ContentType: 'image/webp', Metadata: { b: '2' } },
        }),
      );
      const got = await client.send(new GetObjectCommand(where));
      assert.equal(got.ContentType, 'image/webp');
      assert.deepEqual(got.Metadata, { b: '2' });
      assert.equal((await bodyOf(got)).toString(), 'bytes');
    },
  );

  sdkTest(open, 'conditions on the source of a copy are heeded', async ({ target, client, bucket, prefix }) => {
    const { ETag } = await client.send(new PutObjectCommand({ Bucket: bucket, Key: `${prefix}k`, Body: 'x' }));
    const copy = { Bucket: bucket, Key: `${prefix}copy`, CopySource: pathOf(bucket, `${prefix}k`) };
    await client.send(new CopyObjectCommand({ ...copy, CopySourceIfMatch: ETag }));
    await refused(client.send(new CopyObjectCommand({ ...copy, CopySourceIfMatch: '"other"' })), 412);
    const status = target.profile.has('copy-not-modified') ? 304 : 412;
    await refused(client.send(new CopyObjectCommand({ ...copy, CopySourceIfNoneMatch: ETag })), status);
    const missing = { ...copy, CopySource: pathOf(bucket, `${prefix}none`) };
    await refused(client.send(new CopyObjectCommand(missing)), 404, 'NoSuchKey');
  });

  sdkTest(open, 'ranges of an object become parts, also of one that parts were put together to', async (it) => {
    const { client, bucket, prefix } = it;
    const content = randomBytes(2 * PART_BYTES + 1_000);
    const source = await putInParts(it, `${prefix}source`, [
      content.subarray(0, PART_BYTES),
      content.subarray(PART_BYTES, 2 * PART_BYTES),
      content.subarray(2 * PART_BYTES),
    ]);
    const where = { Bucket: bucket, Key: `${prefix}joined` };
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(where));
    const Parts: { PartNumber: number; ETag: string | undefined }[] = [];
    for (const [index, range] of [
      [PART_BYTES - 500, 2 * PART_BYTES + 499], // across all three
      [0, 0],
    ].entries()) {
      const { CopyPartResult } = await client.send(
        new UploadPartCopyCommand({
          ...{ ...where, UploadId, PartNumber: index + 1 },
          ...{ CopySource: pathOf(bucket, source), CopySourceRange: `bytes=${range.join('-')}` },
        }),
      );
      Parts.push({ PartNumber: index + 1, ETag: CopyPartResult?.ETag });
    }
    await client.send(new CompleteMultipartUploadCommand({ ...where, UploadId, MultipartUpload: { Parts } }));
    const expected = Buffer.concat([content.subarray(PART_BYTES - 500, 2 * PART_BYTES + 500), content.subarray(0, 1)]);
    sameBytes(await bodyOf(await client.send(new GetObjectCommand(where))), expected);
  });

  sdkTest(open, 'a range beyond the source of a part is refused', async ({ client, bucket, prefix }) => {
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: `${prefix}k`, Body: '0123456789' }));
    const where = { Bucket: bucket, Key: `${prefix}joined` };
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(where));
    const part = { ...where, UploadId, PartNumber: 1, CopySource: pathOf(bucket, `${prefix}k`) };
    await assert.rejects(client.send(new UploadPartCopyCommand({ ...part, CopySourceRange: 'bytes=5-10' })), {
      name: /^Invalid(Argument|Range)$/,
    });
  });
}

/** @returns the key */
async function putInParts({ client, bucket }: SdkCase, key: string, contents: readonly Buffer[]): Promise<string> {
  const where = { Bucket: bucket, Key: key };
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(where));
  const Parts = await Promise.all(
    contents.map(async (Body, index) => {
      const PartNumber = index + 1;
      const { ETag } = await client.send(new UploadPartCommand({ ...where, UploadId, PartNumber, Body }));
      return { PartNumber, ETag };
    }),
  );
  await client.send(new CompleteMultipartUploadCommand({ ...where, UploadId, MultipartUpload: { Parts } }));
  return key;
}

/** As `x-amz-copy-source` wants it. */
function pathOf(bucket: string, key: string): string {
  return `${bucket}/${key.split('/').map(encodeURIComponent).join('/')}`;
}
