import { type ChecksumAlgorithm, checksumElement } from './checksums.ts';
import { checkCopySource, writeCondition } from './conditions.ts';
import { copySourceAddress, findCopySource } from './copy-source.ts';
import { DevS3Error } from './dev-s3-errors.ts';
import { copyFile, openContent } from './object-content.ts';
import { namedAlgorithm, objectHeaders } from './object-headers.ts';
import type { StoredObject } from './object-index.ts';
import { type Reply, xmlReply } from './reply.ts';
import { MAX_BODY_BYTES } from './request-body.ts';
import { headerOf, type S3Request } from './s3-request.ts';
import { storeObject } from './store.ts';

export async function copyObject(request: S3Request): Promise<Reply> {
  const { store, bucket, key, body, now } = request;
  await body.none();
  store.buckets.get(bucket);
  const source = findCopySource(request);
  checkCopySource(request, source);
  if (source.bytes > MAX_BODY_BYTES) {
    throw new DevS3Error(
      'InvalidRequest',
      `The specified copy source is larger than the maximum allowable size for a copy source: ${MAX_BODY_BYTES}`,
    );
  }
  const given = objectHeaders(request); // checks them even where they are not used
  const replaces = replacesMetadata(request);
  const from = copySourceAddress(request);
  if (from.bucket === bucket && from.key === key && !replaces) {
    throw new DevS3Error(
      'InvalidRequest',
      "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
    );
  }
  const check = writeCondition(request);
  const algorithm = namedAlgorithm(request) ?? algorithmOf(source);
  return copyFile(store, openContent(store, source, null), algorithm, ({ bytes, md5, checksum }, file) => {
    const object: StoredObject = {
      ...{ key, bytes, etag: md5, modifiedMs: now.getTime(), checksum },
      headers: replaces ? given : source.headers,
      content: file === null ? { kind: 'empty' } : { kind: 'file', file },
    };
    storeObject(store, bucket, object, check);
    return xmlReply('CopyObjectResult', {
      LastModified: new Date(object.modifiedMs).toISOString(),
      ETag: `"${md5}"`,
      ...(checksum === null ? {} : { [checksumElement(checksum.algorithm)]: checksum.value }),
    });
  });
}

function replacesMetadata(request: S3Request): boolean {
  const directive = headerOf(request, 'x-amz-metadata-directive')?.toUpperCase() ?? 'COPY';
  if (directive === 'COPY' || directive === 'REPLACE') return directive === 'REPLACE';
  throw new DevS3Error('InvalidArgument', 'Unknown metadata directive.');
}

function algorithmOf({ checksum }: StoredObject): ChecksumAlgorithm | null {
  return checksum === null ? null : checksum.algorithm;
}
