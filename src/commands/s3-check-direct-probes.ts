/** What a page needs that uploads straight to the bucket: presigned URLs, and rules for its origin (CORS). */
import { PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { letsPageIn } from '../s3/page-access.ts';
import { expect, type Probe } from './s3-check-probe.ts';
import { type CheckSite, OBJECT_BYTES } from './s3-check-site.ts';

const SECONDS_VALID = 300;
/** Asks what a bucket says to a page that nobody has told it of. */
const ANY_ORIGIN = 'https://page.example';
const TYPE = 'image/png';

export const DIRECT_PROBES: readonly Probe[] = [
  {
    name: 'presigned PUT, bound to type and size',
    neededFor: 'direct',
    permission: 's3:PutObject on the objects',
    otherwise: 'Direct uploads are not safe with it.',
    run: putPresigned,
  },
  {
    name: 'presigned part',
    neededFor: 'direct',
    permission: 's3:PutObject on the objects',
    otherwise: 'Direct uploads in parts do not work.',
    async run(site) {
      const { key, s3UploadId } = await site.multipart('presigned-part');
      const command = new UploadPartCommand({
        ...{ Bucket: site.target.bucket, Key: key, UploadId: s3UploadId, PartNumber: 1 },
      });
      const response = await fetch(await getSignedUrl(site.client, command, { expiresIn: SECONDS_VALID }), {
        method: 'PUT',
        body: OBJECT_BYTES,
      });
      expect(response.ok, `answered ${response.status}`);
      expect(response.headers.has('etag'), 'the answer has no ETag');
      return '';
    },
  },
  {
    name: 'CORS of the bucket',
    neededFor: 'direct',
    permission: null,
    otherwise: 'npm run s3:bootstrap -- --origin URL sets the rules, or says how.',
    async run(site) {
      const { origins } = site.target;
      for (const origin of origins.length > 0 ? origins : [ANY_ORIGIN]) await askAsPage(site, origin);
      return origins.length > 0 ? `for ${origins.join(', ')}` : 'for any page';
    },
  },
];

async function putPresigned(site: CheckSite): Promise<string> {
  const send = async (name: string, body: Uint8Array<ArrayBuffer>, type: string) => {
    const response = await fetch(await presignBoundPut(site, name), {
      method: 'PUT',
      body,
      headers: { 'content-type': type },
    });
    await response.arrayBuffer();
    return response.status;
  };
  const bytes = new Uint8Array(OBJECT_BYTES);
  const status = await send('presigned', bytes, TYPE);
  expect(status === 200, `answered ${status}`);
  const object = await site.storage.headObject(site.key('presigned'));
  expect(object?.contentType === TYPE && object.bytes === OBJECT_BYTES.length, 'what was stored is something else');
  const otherType = await send('other-type', bytes, 'text/html');
  expect(otherType >= 400, 'a body of another type was taken');
  const otherSize = await send('other-size', new Uint8Array([...bytes, 33]), TYPE);
  expect(otherSize >= 400, 'a body of another size was taken');
  return '';
}

function presignBoundPut(site: CheckSite, name: string): Promise<string> {
  const command = new PutObjectCommand({
    ...{ Bucket: site.target.bucket, Key: site.key(name), ContentType: TYPE, ContentLength: OBJECT_BYTES.length },
  });
  return getSignedUrl(site.client, command, {
    expiresIn: SECONDS_VALID,
    signableHeaders: new Set(['host', 'content-type', 'content-length']),
  });
}

/** A browser's question before the PUT of a part, and the header that it needs of the answer. */
async function askAsPage(site: CheckSite, origin: string): Promise<void> {
  const url = await presignBoundPut(site, 'cors');
  expect(await letsPageIn(url, origin), `pages of ${origin} are not let in`);
  const bytes = new Uint8Array(OBJECT_BYTES);
  const put = await fetch(url, { method: 'PUT', body: bytes, headers: { Origin: origin, 'content-type': TYPE } });
  await put.arrayBuffer();
  const exposed = (put.headers.get('access-control-expose-headers') ?? '').toLowerCase().split(/ *, */);
  expect(exposed.includes('etag') || exposed.includes('*'), `pages of ${origin} may not read the ETag of a part`);
}
