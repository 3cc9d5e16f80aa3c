import { bareEtag } from './conditions.ts';
import { DevS3Error } from './dev-s3-errors.ts';
import { emptyReply, type Reply, xmlReply } from './reply.ts';
import { headerOf, type S3Request } from './s3-request.ts';
import { removeObjects } from './store.ts';
import { childrenNamed, childText, readXml } from './xml.ts';

const MAX_KEYS = 1_000;
const MAX_XML_BYTES = 2 * 1024 * 1024;

export async function deleteObject(request: S3Request): Promise<Reply> {
  const { store, bucket, key, body } = request;
  await body.none();
  store.buckets.get(bucket);
  const ifMatch = headerOf(request, 'if-match');
  removeObjects(store, bucket, [key], (existing) => {
    if (ifMatch === undefined || existing === null || ifMatch.trim() === '*') return;
    if (bareEtag(ifMatch) !== existing.etag) {
      throw new DevS3Error('PreconditionFailed', undefined, { details: { Condition: 'If-Match' } });
    }
  });
  return emptyReply(204);
}

export async function deleteObjects(request: S3Request): Promise<Reply> {
  const { store, bucket, body } = request;
  // A delete that was garbled on its way would remove something else: S3 insists.
  if (headerOf(request, 'content-md5') === undefined && !hasChecksum(request)) {
    throw new DevS3Error('InvalidRequest', 'Missing required header for this request: Content-MD5 OR x-amz-checksum-*');
  }
  const root = readXml(await body.text(MAX_XML_BYTES));
  store.buckets.get(bucket);
  const keys = childrenNamed(root, 'Object').map((object) => childText(object, 'Key') ?? '');
  if (root.name !== 'Delete' || keys.length === 0 || keys.length > MAX_KEYS || keys.includes('')) {
    throw new DevS3Error('MalformedXML');
  }
  removeObjects(store, bucket, keys);
  const quiet = childText(root, 'Quiet')?.trim().toLowerCase() === 'true';
  return xmlReply('DeleteResult', { Deleted: quiet ? [] : keys.map((key) => ({ Key: key })) });
}

function hasChecksum({ headers }: S3Request): boolean {
  const isChecksum = (name: string) => /^x-amz-checksum-(crc|sha)/.test(name);
  return Object.keys(headers).some(isChecksum) || isChecksum(String(headers['x-amz-trailer'] ?? ''));
}
