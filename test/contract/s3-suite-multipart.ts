import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  type CreateMultipartUploadCommandInput,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { AWKWARD_NAME, bodyOf, PART_BYTES, refused, type SdkCase, sameBytes, sdkTest } from './s3-checks.ts';
import type { OpenTarget } from './s3-suite.ts';

export function multipartContract(open: OpenTarget): void {
  sdkTest(open, 'parts become an object in the order of their numbers, whatever order they came in', async (it) => {
    const upload = await startUpload(it, AWKWARD_NAME, { ContentType: 'video/mp4', Metadata: { a: '1' } });
    const contents = [randomBytes(PART_BYTES), randomBytes(PART_BYTES), randomBytes(10)];
    for (const number of [7, 1, 4]) await upload.put(number, contents[(number - 1) / 3] ?? Buffer.alloc(0));
    await refused(it.client.send(new HeadObjectCommand(upload.where)), 404);
    const { ETag } = await upload.complete([1, 4, 7]);
    const md5s = contents.map((content) => createHash('md5').update(content).digest());
    assert.equal(ETag, `"${createHash('md5').update(Buffer.concat(md5s)).digest('hex')}-3"`);
    const got = await it.client.send(new GetObjectCommand(upload.where));
    assert.equal(got.ETag, ETag);
    assert.equal(got.ContentType, 'video/mp4');
    assert.deepEqual(got.Metadata, { a: '1' });
    sameBytes(await bodyOf(got), Buffer.concat(contents));
    const across = { ...upload.where, Range: `bytes=${PART_BYTES - 2}-${PART_BYTES + 1}` };
    sameBytes(
      await bodyOf(await it.client.send(new GetObjectCommand(across))),
      Buffer.concat(contents).subarray(PART_BYTES - 2, PART_BYTES + 2),
    );
  });

  sdkTest(open, 'parts that Complete does not name are not in the object', async (it) => {
    const upload = await startUpload(it, 'k');
    await upload.put(1, Buffer.from('not this one'));
    await upload.put(2, Buffer.from('this one'));
    await upload.complete([2]);
    assert.equal((await bodyOf(await it.client.send(new GetObjectCommand(upload.where)))).toString(), 'this one');
  });

  sdkTest(open, 'a part that is sent again replaces the first, and its ETag', async (it) => {
    const upload = await startUpload(it, 'k');
    const stale = await upload.put(1, Buffer.from('one'));
    await upload.put(1, Buffer.from('other'));
    await refused(upload.completeWith([{ PartNumber: 1, ETag: stale }]), 400, 'InvalidPart');
    await upload.complete([1]);
    assert.equal((await bodyOf(await it.client.send(new GetObjectCommand(upload.where)))).toString(), 'other');
  });

  sdkTest(open, 'parts are listed in pages', async (it) => {
    const upload = await startUpload(it, 'k');
    for (const number of [1, 2, 3, 5, 10_000]) await upload.put(number, Buffer.from(`part ${number}`));
    const numbers: (number | undefined)[] = [];
    let PartNumberMarker: string | undefined;
    do {
      const page = await it.client.send(new ListPartsCommand({ ...upload.named, MaxParts: 2, PartNumberMarker }));
      for (const part of page.Parts ?? []) {
        assert.equal(part.ETag, upload.etags.get(part.PartNumber ?? 0));
        assert.equal(part.Size, `part ${part.PartNumber}`.length);
        numbers.push(part.PartNumber);
      }
      PartNumberMarker = page.IsTruncated ? page.NextPartNumberMarker : undefined;
    } while (PartNumberMarker !== undefined);
    assert.deepEqual(numbers, [1, 2, 3, 5, 10_000]);
  });

  sdkTest(open, 'Complete is refused for parts out of order, missing, or too small', async (it) => {
    const upload = await startUpload(it, 'k');
    await upload.put(1, Buffer.from('too small'));
    await upload.put(2, randomBytes(PART_BYTES));
    await refused(upload.complete([2, 1]), 400, 'InvalidPartOrder');
    await refused(
      upload.completeWith([{ PartNumber: 3, ETag: '"0123456789abcdef0123456789abcdef"' }]),
      400,
      'InvalidPart',
    );
    await refused(upload.complete([1, 2]), 400, 'EntityTooSmall');
    await refused(it.client.send(new HeadObjectCommand(upload.where)), 404);
    await upload.complete([2]); // the upload has survived it all
  });

  sdkTest(open, 'part numbers are 1 to 10,000', async (it) => {
    const upload = await startUpload(it, 'k');
    const code = it.target.profile.has('other-part-number-code') ? undefined : 'InvalidArgument';
    await refused(upload.put(0, Buffer.from('x')), 400, code);
    await refused(upload.put(10_001, Buffer.from('x')), 400, code);
  });

  sdkTest(open, 'a second Complete answers as the profile says', async (it) => {
    const upload = await startUpload(it, 'k');
    await upload.put(1, Buffer.from('only part'));
    const first = await upload.complete([1]);
    if (it.target.profile.has('complete-once')) await refused(upload.complete([1]), 404, 'NoSuchUpload');
    else assert.equal((await upload.complete([1])).ETag, first.ETag);
    assert.equal((await bodyOf(await it.client.send(new GetObjectCommand(upload.where)))).toString(), 'only part');
  });

  sdkTest(open, 'after an abort the upload and its parts are gone', async (it) => {
    const upload = await startUpload(it, 'k');
    await upload.put(1, Buffer.from('x'));
    await it.client.send(new AbortMultipartUploadCommand(upload.named));
    await refused(it.client.send(new ListPartsCommand(upload.named)), 404, 'NoSuchUpload');
    await refused(upload.put(2, Buffer.from('x')), 404, 'NoSuchUpload');
    await refused(upload.complete([1]), 404, 'NoSuchUpload');
    if (!it.target.profile.has('abort-of-anything')) {
      await refused(it.client.send(new AbortMultipartUploadCommand(upload.named)), 404, 'NoSuchUpload');
    }
  });

  sdkTest(open, 'an upload belongs to its key', async (it) => {
    const upload = await startUpload(it, 'k');
    const other = { ...upload.named, Key: `${it.prefix}other`, PartNumber: 1, Body: 'x' };
    await refused(it.client.send(new UploadPartCommand(other)), 404, 'NoSuchUpload');
  });

  sdkTest(open, 'open uploads are listed by key, in pages', async (it) => {
    const { profile } = it.target;
    const names = profile.has('uploads-by-exact-key') ? ['a', 'a'] : ['a', 'a', 'b/c', 'd'];
    const MaxUploads = profile.has('uploads-in-one-page') ? 100 : 1;
    const uploads = [];
    for (const name of names) uploads.push(await startUpload(it, name));
    const query = { Bucket: it.bucket, Prefix: it.prefix + (profile.has('uploads-by-exact-key') ? 'a' : '') };
    const seen: string[] = [];
    let markers: { KeyMarker?: string; UploadIdMarker?: string } | null = {};
    while (markers !== null) {
      const command = new ListMultipartUploadsCommand({ ...query, ...markers, MaxUploads });
      const page: ListMultipartUploadsCommandOutput = await it.client.send(command);
      for (const upload of page.Uploads ?? []) seen.push(`${upload.Key?.slice(it.prefix.length)} ${upload.UploadId}`);
      markers = page.IsTruncated
        ? { KeyMarker: page.NextKeyMarker ?? '', UploadIdMarker: page.NextUploadIdMarker ?? '' }
        : null;
    }
    const expected = uploads.map((upload, n) => `${names[n]} ${upload.named.UploadId}`);
    // Uploads of one key are in the order of their age, which has no finer steps than a second on some servers.
    assert.deepEqual(seen.toSorted(), expected.toSorted());
    for (const upload of uploads) await it.client.send(new AbortMultipartUploadCommand(upload.named));
    assert.deepEqual((await it.client.send(new ListMultipartUploadsCommand(query))).Uploads ?? [], []);
  });

  sdkTest(
    open,
    'open uploads are listed by a delimiter',
    async (it) => {
      for (const name of ['a', 'b/1', 'b/2', 'c']) await startUpload(it, name);
      const query = { Bucket: it.bucket, Prefix: it.prefix, Delimiter: '/' };
      const { Uploads, CommonPrefixes } = await it.client.send(new ListMultipartUploadsCommand(query));
      assert.deepEqual(
        Uploads?.map((upload) => upload.Key?.slice(it.prefix.length)),
        ['a', 'c'],
      );
      assert.deepEqual(
        CommonPrefixes?.map((one) => one.Prefix?.slice(it.prefix.length)),
        ['b/'],
      );
    },
    'uploads-by-exact-key',
  );

  sdkTest(open, 'If-None-Match: * of a Complete does not replace an object', async (it) => {
    const upload = await startUpload(it, 'k');
    await upload.put(1, Buffer.from('new'));
    await it.client.send(new PutObjectCommand({ ...upload.where, Body: 'old' }));
    await refused(upload.complete([1], { IfNoneMatch: '*' }), 412, 'PreconditionFailed');
    assert.equal((await bodyOf(await it.client.send(new GetObjectCommand(upload.where)))).toString(), 'old');
  });

  for (const [algorithm, type] of [
    ['SHA256', 'COMPOSITE'],
    ['CRC32', 'COMPOSITE'],
    ['CRC32', 'FULL_OBJECT'],
    ['CRC64NVME', 'FULL_OBJECT'],
  ] as const) {
    sdkTest(open, `a ${type} checksum of parts by ${algorithm} is that of the object`, async (it) => {
      const checksums = { ChecksumAlgorithm: algorithm, ChecksumType: type };
      const upload = await startUpload(it, 'k', checksums);
      const contents = [randomBytes(PART_BYTES), randomBytes(1_234)];
      for (const [index, content] of contents.entries()) await upload.put(index + 1, content);
      const name = `Checksum${algorithm}` as const;
      const completed = await upload.complete([1, 2]);
      const whole = await it.client.send(
        new PutObjectCommand({
          ...{ Bucket: it.bucket, Key: `${it.prefix}whole`, Body: Buffer.concat(contents) },
          ChecksumAlgorithm: algorithm,
        }),
      );
      if (type === 'FULL_OBJECT') assert.equal(completed[name], whole[name]);
      else assert.match(completed[name] ?? '', /-2$/);
      const head = await it.client.send(new HeadObjectCommand({ ...upload.where, ChecksumMode: 'ENABLED' }));
      assert.equal(head[name], completed[name]);
      assert.equal(head.ChecksumType, type);
    });
  }
}

async function startUpload(
  { client, bucket, prefix }: SdkCase,
  name: string,
  options: Partial<CreateMultipartUploadCommandInput> = {},
) {
  const where = { Bucket: bucket, Key: prefix + name };
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ ...where, ...options }));
  assert.ok(UploadId);
  const named = { ...where, UploadId };
  const etags = new Map<number, string>();
  const checksums = new Map<number, object>();
  const completeWith = (Parts: { PartNumber: number; ETag: string }[], conditions: { IfNoneMatch?: '*' } = {}) =>
    client.send(new CompleteMultipartUploadCommand({ ...named, ...conditions, MultipartUpload: { Parts } }));
  return {
    where,
    named,
    etags,
    completeWith,
    async put(PartNumber: number, Body: Buffer): Promise<string> {
      const { ChecksumAlgorithm } = options;
      const algorithm = ChecksumAlgorithm === undefined ? {} : { ChecksumAlgorithm };
      const answer = await client.send(new UploadPartCommand({ ...named, ...algorithm, PartNumber, Body }));
      const { ETag = '', ChecksumCRC32, ChecksumCRC64NVME, ChecksumSHA256 } = answer;
      if (ChecksumAlgorithm !== undefined)
        checksums.set(PartNumber, { ChecksumCRC32, ChecksumCRC64NVME, ChecksumSHA256 });
      etags.set(PartNumber, ETag);
      return ETag;
    },
    complete(numbers: readonly number[], conditions: { IfNoneMatch?: '*' } = {}) {
      const parts = numbers.map((PartNumber) => ({
        PartNumber,
        ETag: etags.get(PartNumber) ?? '',
        ...checksums.get(PartNumber),
      }));
      return completeWith(parts, conditions);
    },
  };
}
