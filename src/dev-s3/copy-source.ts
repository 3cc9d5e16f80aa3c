import { DevS3Error } from './dev-s3-errors.ts';
import type { StoredObject } from './object-index.ts';
import { parseCopySource } from './request-target.ts';
import { headerOf, type S3Request } from './s3-request.ts';

/** The object that `x-amz-copy-source` names. @throws DevS3Error NoSuchBucket, NoSuchKey, InvalidArgument */
export function findCopySource(request: S3Request): StoredObject {
  const { bucket, key } = copySourceAddress(request);
  request.store.buckets.get(bucket);
  const object = request.store.objects.find(bucket, key);
  if (object === null) throw new DevS3Error('NoSuchKey', undefined, { details: { Key: key } });
  return object;
}

export function copySourceAddress(request: S3Request): { bucket: string; key: string } {
  return parseCopySource(headerOf(request, 'x-amz-copy-source') ?? '');
}
