import { corsXml, readCorsXml } from './cors.ts';
import { DevS3Error } from './dev-s3-errors.ts';
import { emptyReply, type Reply, xmlReply } from './reply.ts';
import type { S3Request } from './s3-request.ts';
import { removeBucket } from './store.ts';
import { childText, readXml, writeXmlText } from './xml.ts';

const MAX_XML_BYTES = 64 * 1024;
/** S3 User Guide, "General purpose bucket naming rules", as far as they keep names usable in hosts and paths. */
const NAME = /^(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9](?:[a-z0-9-]|\.(?=[a-z0-9])){1,61}[a-z0-9]$/;

export const OWNER = { ID: 'dev-s3', DisplayName: 'dev-s3' };

export async function listBuckets({ store, body }: S3Request): Promise<Reply> {
  await body.none();
  const buckets = store.buckets.list().map((bucket) => ({
    Name: bucket.name,
    CreationDate: new Date(bucket.createdMs).toISOString(),
  }));
  return xmlReply('ListAllMyBucketsResult', { Owner: OWNER, Buckets: { Bucket: buckets } });
}

export async function createBucket({ store, bucket, body, now, region }: S3Request): Promise<Reply> {
  const document = await body.text(MAX_XML_BYTES);
  if (!NAME.test(bucket)) throw new DevS3Error('InvalidBucketName', undefined, { details: { BucketName: bucket } });
  const location = document.trim() === '' ? null : childText(readXml(document), 'LocationConstraint');
  if (location !== null && location !== '' && location !== region) {
    throw new DevS3Error('IllegalLocationConstraintException');
  }
  if (store.buckets.find(bucket) !== null) {
    throw new DevS3Error('BucketAlreadyOwnedByYou', undefined, { details: { BucketName: bucket } });
  }
  store.buckets.create(bucket, now.getTime());
  return emptyReply(200, { location: `/${bucket}` });
}

export async function headBucket({ store, bucket, body, region }: S3Request): Promise<Reply> {
  await body.none();
  store.buckets.get(bucket);
  return emptyReply(200, { 'x-amz-bucket-region': region });
}

export async function deleteBucket({ store, bucket, body }: S3Request): Promise<Reply> {
  await body.none();
  removeBucket(store, bucket);
  return emptyReply(204);
}

export async function getBucketLocation({ store, bucket, body, region }: S3Request): Promise<Reply> {
  await body.none();
  store.buckets.get(bucket);
  // The first region has no name here.
  const text = region === 'us-east-1' ? '' : region;
  return {
    status: 200,
    headers: { 'content-type': 'application/xml' },
    body: writeXmlText('LocationConstraint', text),
  };
}

export async function getBucketVersioning({ store, bucket, body }: S3Request): Promise<Reply> {
  await body.none();
  store.buckets.get(bucket);
  return xmlReply('VersioningConfiguration', {});
}

export async function getBucketCors({ store, bucket, body }: S3Request): Promise<Reply> {
  await body.none();
  const { cors } = store.buckets.get(bucket);
  if (cors === null) throw new DevS3Error('NoSuchCORSConfiguration', undefined, { details: { BucketName: bucket } });
  return xmlReply('CORSConfiguration', corsXml(cors));
}

export async function putBucketCors({ store, bucket, body }: S3Request): Promise<Reply> {
  const rules = readCorsXml(await body.text(MAX_XML_BYTES));
  store.buckets.setCors(bucket, rules);
  return emptyReply(200);
}

export async function deleteBucketCors({ store, bucket, body }: S3Request): Promise<Reply> {
  await body.none();
  store.buckets.setCors(bucket, null);
  return emptyReply(204);
}
