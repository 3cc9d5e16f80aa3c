/** Multipart uploads: from Create to Complete and Abort, and how one finds them. */
import { createHash } from 'node:crypto';
import { payloadFrom } from '../s3/payload.ts';
import { S3Error } from '../s3/s3-errors.ts';
import { expect, type Probe } from './s3-check-probe.ts';
import { type CheckSite, OBJECT_BYTES } from './s3-check-site.ts';

/** The least that S3 allows for a part that is not the last. */
const PART_BYTES = 5 * 1024 * 1024;

export const MULTIPART_PROBES: readonly Probe[] = [
  {
    name: 'CreateMultipartUpload',
    neededFor: 'server',
    permission: 's3:PutObject on the objects',
    otherwise: '',
    async run(site) {
      await site.multipart('created');
      return '';
    },
  },
  {
    name: 'UploadPart, ListParts',
    neededFor: 'server',
    permission: 's3:PutObject and s3:ListMultipartUploadParts on the objects',
    otherwise: 'Parts that a late request has overwritten are found by it.',
    async run(site) {
      const { key, s3UploadId } = await site.multipart('parts');
      const { etag } = await site.storage.uploadPart(key, s3UploadId, 1, payloadFrom([OBJECT_BYTES]));
      const parts = await site.storage.listParts(key, s3UploadId);
      expect(parts?.length === 1, 'the part is not listed');
      expect(parts[0]?.etag === etag && parts[0].bytes === OBJECT_BYTES.length, 'the part is listed as another one');
      return '';
    },
  },
  {
    name: 'CompleteMultipartUpload',
    neededFor: 'server',
    permission: 's3:PutObject on the objects',
    otherwise: '',
    run: complete,
  },
  {
    name: 'CompleteMultipartUpload, a second time',
    neededFor: 'nothing',
    permission: null,
    otherwise: 'We look at the object instead.',
    run: completeTwice,
  },
  {
    name: 'parts of unequal size',
    neededFor: 'nothing',
    permission: null,
    otherwise: 'Ours are equal but for the last.',
    async run(site) {
      await assemble(site, 'unequal', [PART_BYTES + 1024 * 1024, PART_BYTES, 1]);
      return 'ours are equal but for the last';
    },
  },
  {
    name: 'AbortMultipartUpload',
    neededFor: 'server',
    permission: 's3:AbortMultipartUpload on the objects',
    otherwise: 'The parts of uploads that were given up would stay, and be paid for, for ever.',
    async run(site) {
      const { key, s3UploadId } = await site.multipart('aborted');
      await site.storage.abortMultipartUpload(key, s3UploadId);
      expect((await site.storage.listParts(key, s3UploadId)) === null, 'it can still be listed');
      return '';
    },
  },
  {
    name: 'ListMultipartUploads of one key',
    neededFor: 'server',
    permission: 's3:ListBucketMultipartUploads on the bucket',
    otherwise: 'Multipart uploads of which a crash lost the id would stay for ever.',
    async run(site) {
      const { key, s3UploadId } = await site.multipart('listed');
      const found = await site.storage.listMultipartUploads(key);
      expect(
        found.some((upload) => upload.s3UploadId === s3UploadId),
        'a multipart upload is not listed under its key',
      );
      return '';
    },
  },
  {
    name: 'ListMultipartUploads under a prefix',
    neededFor: 'nothing',
    permission: 's3:ListBucketMultipartUploads on the bucket',
    otherwise: 'The deep sweep finds objects only; the ordinary sweeper asks for exact keys.',
    async run(site) {
      const { s3UploadId } = await site.multipart('below/listed');
      const { uploads } = await site.storage.listMultipartUploadsUnder(site.prefix);
      expect(
        uploads.some((upload) => upload.s3UploadId === s3UploadId),
        'only exact keys are found',
      );
      return '';
    },
  },
  {
    name: 'UploadPartCopy',
    neededFor: 'nothing',
    permission: 's3:GetObject and s3:PutObject on the objects',
    otherwise: 'Overwritten parts are restored through the server.',
    async run(site) {
      const source = await site.object();
      const { key, s3UploadId } = await site.multipart('copied');
      await site.storage.uploadPartCopy(key, s3UploadId, 1, source);
      const parts = await site.storage.listParts(key, s3UploadId);
      expect(parts?.[0]?.bytes === OBJECT_BYTES.length, 'the copy is not a part of the upload');
      return '';
    },
  },
];

async function complete(site: CheckSite): Promise<string> {
  const { key, parts, etag } = await assemble(site, 'completed', [PART_BYTES, PART_BYTES, 1]);
  const object = await site.storage.headObject(key);
  expect(object?.bytes === 2 * PART_BYTES + 1, `the object has ${object?.bytes} bytes`);
  return etag === composedEtag(parts)
    ? 'ETags are composed of those of the parts'
    : 'ETags are not composed; we do not need that';
}

async function completeTwice(site: CheckSite): Promise<string> {
  const { key, s3UploadId, parts, etag } = await assemble(site, 'completed-twice', [1]);
  try {
    const second = await site.storage.completeMultipartUpload(key, s3UploadId, parts);
    return second.etag === etag ? 'answered like the first' : 'answered with another ETag';
  } catch (error) {
    if (error instanceof S3Error && error.s3Code === 'NoSuchUpload') return 'NoSuchUpload, and we look at the object';
    throw error;
  }
}

async function assemble(site: CheckSite, name: string, sizes: readonly number[]) {
  const { key, s3UploadId } = await site.multipart(name);
  const parts: { partNumber: number; etag: string }[] = [];
  for (const [index, bytes] of sizes.entries()) {
    const partNumber = index + 1;
    const payload = payloadFrom([Buffer.alloc(bytes, partNumber)]);
    parts.push({ partNumber, ...(await site.storage.uploadPart(key, s3UploadId, partNumber, payload)) });
  }
  const { etag } = await site.storage.completeMultipartUpload(key, s3UploadId, parts);
  return { key, s3UploadId, parts, etag };
}

/** MD5 of the parts' MD5s, and how many there are. */
function composedEtag(parts: readonly { etag: string }[]): string {
  const hash = createHash('md5');
  for (const { etag } of parts) hash.update(Buffer.from(etag.replaceAll('"', ''), 'hex'));
  return `"${hash.digest('hex')}-${parts.length}"`;
}
