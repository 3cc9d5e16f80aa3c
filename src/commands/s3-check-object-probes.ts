/** Objects: list, put, read, delete. */
import { HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { payloadFrom } from '../s3/payload.ts';
import { errorOfThrown, S3Error } from '../s3/s3-errors.ts';
import { expect, type Probe } from './s3-check-probe.ts';
import { type CheckSite, OBJECT_BYTES, OBJECT_HEADERS } from './s3-check-site.ts';

/** S3 refuses signatures that are farther off than 15 minutes; presigned URLs lose what the clock is ahead. */
const TOLERABLE_SKEW_MS = 60_000;

export const OBJECT_PROBES: readonly Probe[] = [
  {
    name: 'ListObjectsV2',
    neededFor: 'server',
    permission: 's3:ListBucket on the bucket',
    otherwise: 'The start, readiness and the deep sweep list the bucket.',
    async run(site) {
      await site.storage.listObjects(site.prefix);
      return '';
    },
  },
  {
    name: 'clock',
    neededFor: 'server',
    permission: null,
    otherwise: 'Set the clock of this machine (NTP).',
    run: compareClocks,
  },
  {
    name: 'PutObject',
    neededFor: 'server',
    permission: 's3:PutObject on the objects',
    otherwise: '',
    async run(site) {
      await site.object();
      return '';
    },
  },
  {
    name: 'PutObject of 0 bytes',
    neededFor: 'server',
    permission: 's3:PutObject on the objects',
    otherwise: 'Empty files cannot be stored.',
    async run(site) {
      const key = await site.put('empty', Buffer.alloc(0));
      expect((await site.storage.headObject(key))?.bytes === 0, 'it is not there, or not empty');
      return '';
    },
  },
  {
    name: 'HeadObject',
    neededFor: 'server',
    permission: 's3:GetObject on the objects',
    otherwise: 'Completions that were interrupted are told apart by it.',
    run: compareHead,
  },
  {
    name: 'HeadObject of nothing',
    neededFor: 'server',
    permission: 's3:ListBucket on the bucket (without it S3 says 403 instead of 404)',
    otherwise: 'Completions that were interrupted are told apart by it.',
    async run(site) {
      const found = await site.storage.headObject(site.key('nothing'));
      expect(found === null, 'an object that was never put is there');
      return '';
    },
  },
  {
    name: 'GetObject, a range of it',
    neededFor: 'server',
    permission: 's3:GetObject on the objects',
    otherwise: 'Downloads and thumbnails read objects.',
    async run(site) {
      const opened = await site.storage.getObject(await site.object(), { first: 6, last: 10 });
      const bytes = opened === null ? null : Buffer.concat(await opened.body.toArray());
      expect(bytes?.equals(OBJECT_BYTES.subarray(6)) === true, 'it gave other bytes');
      return '';
    },
  },
  {
    name: 'PutObject, payload signed',
    neededFor: 'nothing',
    permission: 's3:PutObject on the objects',
    otherwise: 'Set S3_PAYLOAD_SIGNING=unsigned, and use an https:// endpoint.',
    run: (site) => putSigned(site, 'signed'),
  },
  {
    name: 'PutObject, payload unsigned',
    neededFor: 'nothing',
    permission: 's3:PutObject on the objects',
    otherwise: 'Set S3_PAYLOAD_SIGNING=signed.',
    run: (site) => putSigned(site, 'unsigned'),
  },
  {
    name: 'PutObject with a checksum header',
    neededFor: 'nothing',
    permission: 's3:PutObject on the objects',
    otherwise: 'We send none.',
    async run(site) {
      await ofSdk('PutObject', () =>
        site.client.send(
          new PutObjectCommand({
            ...{
              Bucket: site.target.bucket,
              Key: site.key('checksum'),
              Body: OBJECT_BYTES,
              ChecksumAlgorithm: 'CRC32',
            },
          }),
        ),
      );
      return 'CRC32; we send none';
    },
  },
  {
    name: 'PutObject, If-None-Match',
    neededFor: 'nothing',
    permission: null,
    otherwise: 'Nothing of ours relies on it.',
    run: putTwice,
  },
  {
    name: 'DeleteObjects',
    neededFor: 'server',
    permission: 's3:DeleteObject on the objects',
    otherwise: 'What uploads leave behind would stay for ever.',
    async run(site) {
      const keys = [await site.put('deleted-1', OBJECT_BYTES), await site.put('deleted-2', OBJECT_BYTES)];
      const { failedKeys } = await site.storage.deleteObjects(keys);
      expect(failedKeys.length === 0, 'some of the keys were refused');
      for (const key of keys) expect((await site.storage.headObject(key)) === null, 'a deleted object is still there');
      return '';
    },
  },
];

/** The answer's Date has whole seconds, and was written somewhere between our question and its coming. */
async function compareClocks(site: CheckSite): Promise<string> {
  const url = await getSignedUrl(
    site.client,
    new HeadObjectCommand({ Bucket: site.target.bucket, Key: site.key('x') }),
  );
  const askedMs = Date.now();
  const response = await fetch(url, { method: 'HEAD' });
  const serverMs = Date.parse(response.headers.get('date') ?? '');
  if (Number.isNaN(serverMs)) return 'the service does not tell its time';
  const aheadMs = Math.max(0, askedMs - (serverMs + 1_000)) || Math.min(0, Date.now() - serverMs);
  const secs = Math.round(Math.abs(aheadMs) / 1_000);
  const side = aheadMs > 0 ? 'ahead of' : 'behind';
  expect(Math.abs(aheadMs) < TOLERABLE_SKEW_MS, `this machine is ${secs} s ${side} the service`);
  return secs === 0 ? '' : `this machine is ${secs} s ${side} the service`;
}

async function compareHead(site: CheckSite): Promise<string> {
  const found = await site.storage.headObject(await site.object());
  expect(found !== null, 'the object that was put is not there');
  expect(found.bytes === OBJECT_BYTES.length, `its size is said to be ${found.bytes}`);
  expect(found.metadata['tus-relay-check'] === 'yes', 'its metadata (x-amz-meta-…) got lost');
  expect(found.contentType === OBJECT_HEADERS.contentType, `its Content-Type has become ${found.contentType}`);
  return '';
}

async function putSigned(site: CheckSite, payloadSigning: 'signed' | 'unsigned'): Promise<string> {
  const storage = site.target.withSigning(payloadSigning);
  try {
    await storage.putObject(site.key(payloadSigning), payloadFrom([OBJECT_BYTES]), {});
    return site.target.payloadSigning === payloadSigning ? 'as S3_PAYLOAD_SIGNING wants it' : '';
  } finally {
    storage.close();
  }
}

async function putTwice(site: CheckSite): Promise<string> {
  const where = { Bucket: site.target.bucket, Key: await site.object() };
  try {
    await site.client.send(new PutObjectCommand({ ...where, Body: OBJECT_BYTES, IfNoneMatch: '*' }));
  } catch (thrown) {
    const error = errorOfThrown('PutObject', thrown);
    if (error.httpStatus === 412) return 'nothing of ours relies on it';
    throw error;
  }
  expect(false, 'an object was overwritten in spite of it');
  return '';
}

/** @throws S3Error */
export async function ofSdk<T>(operation: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (thrown) {
    throw thrown instanceof S3Error ? thrown : errorOfThrown(operation, thrown);
  }
}
