/** Multipart uploads until they are complete: created, filled with parts, aborted. */
import { randomBytes } from 'node:crypto';
import { type ByteRange, parseCopyRange } from './byte-range.ts';
import { type ChecksumAlgorithm, checksumElement, checksumHeader } from './checksums.ts';
import { checkCopySource } from './conditions.ts';
import { findCopySource } from './copy-source.ts';
import { canCombine } from './crc-combine.ts';
import { DevS3Error } from './dev-s3-errors.ts';
import { copyFile, openContent, receiveFile } from './object-content.ts';
import { namedAlgorithm, objectHeaders } from './object-headers.ts';
import { emptyReply, type Reply, xmlReply } from './reply.ts';
import { MAX_BODY_BYTES, type ReceivedBody } from './request-body.ts';
import { headerOf, type S3Request } from './s3-request.ts';
import { removeUpload, storePart } from './store.ts';
import type { MultipartUpload, StoredPart, UploadAddress } from './upload-index.ts';

export const MAX_PARTS = 10_000;

export async function createMultipartUpload(request: S3Request): Promise<Reply> {
  const { store, bucket, key, body, now } = request;
  await body.none();
  store.buckets.get(bucket);
  const headers = objectHeaders(request);
  const checksumAlgorithm = namedAlgorithm(request);
  const checksumType = checksumAlgorithm === null ? null : wantedType(request, checksumAlgorithm);
  const id = newUploadId(now);
  store.uploads.create({
    ...{ id, bucket, key, headers, checksumAlgorithm, checksumType },
    initiatedMs: now.getTime(),
  });
  return xmlReply(
    'InitiateMultipartUploadResult',
    { Bucket: bucket, Key: key, UploadId: id },
    checksumAlgorithm === null
      ? {}
      : { 'x-amz-checksum-algorithm': checksumAlgorithm, 'x-amz-checksum-type': checksumType ?? '' },
  );
}

export async function uploadPart(request: S3Request): Promise<Reply> {
  const upload = openUpload(request);
  const number = partNumberOf(request);
  return receiveFile(request, upload.checksumAlgorithm, (received, file) => {
    const part = partFrom(number, received, file, upload, request.now);
    storePart(request.store, upload, part);
    const { checksum } = received;
    return emptyReply(200, {
      etag: `"${part.etag}"`,
      ...(checksum === null ? {} : { [checksumHeader(checksum.algorithm)]: checksum.value }),
    });
  });
}

export async function uploadPartCopy(request: S3Request): Promise<Reply> {
  const { store, body, now } = request;
  await body.none();
  const upload = openUpload(request);
  const number = partNumberOf(request);
  const source = findCopySource(request);
  checkCopySource(request, source);
  const range = parseCopyRange(headerOf(request, 'x-amz-copy-source-range'), source.bytes);
  checkCopySize(range, source.bytes);
  return copyFile(store, openContent(store, source, range), upload.checksumAlgorithm, (received, file) => {
    const part = partFrom(number, received, file, upload, now);
    storePart(store, upload, part);
    return xmlReply('CopyPartResult', {
      LastModified: new Date(part.modifiedMs).toISOString(),
      ETag: `"${part.etag}"`,
      ...(received.checksum === null
        ? {}
        : { [checksumElement(received.checksum.algorithm)]: received.checksum.value }),
    });
  });
}

export async function abortMultipartUpload(request: S3Request): Promise<Reply> {
  await request.body.none();
  removeUpload(request.store, openUpload(request).id);
  return emptyReply(204);
}

/** The upload that the request is about. @throws DevS3Error NoSuchBucket, NoSuchUpload */
export function openUpload(request: S3Request): MultipartUpload {
  request.store.buckets.get(request.bucket);
  return request.store.uploads.get(uploadAddress(request));
}

export function uploadAddress({ bucket, key, query }: S3Request): UploadAddress {
  return { id: query.get('uploadId') ?? '', bucket, key };
}

/** They grow with time: S3 lists the uploads of one key by their age. */
function newUploadId(now: Date): string {
  return now.getTime().toString(16).padStart(12, '0') + randomBytes(12).toString('hex');
}

function wantedType(request: S3Request, algorithm: ChecksumAlgorithm): 'COMPOSITE' | 'FULL_OBJECT' {
  const usual = algorithm === 'CRC64NVME' ? 'FULL_OBJECT' : 'COMPOSITE';
  const type = headerOf(request, 'x-amz-checksum-type')?.toUpperCase() ?? usual;
  if (type !== 'COMPOSITE' && type !== 'FULL_OBJECT') {
    throw new DevS3Error('InvalidRequest', 'Value for x-amz-checksum-type header is invalid.');
  }
  if (type === 'FULL_OBJECT' ? !canCombine(algorithm) : algorithm === 'CRC64NVME') {
    throw new DevS3Error(
      'InvalidRequest',
      `The ${type} checksum type cannot be used with the ${algorithm.toLowerCase()} checksum algorithm.`,
    );
  }
  return type;
}

function partNumberOf({ query }: S3Request): number {
  const text = query.get('partNumber') ?? '';
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= MAX_PARTS) return number;
  throw new DevS3Error('InvalidArgument', `Part number must be an integer between 1 and ${MAX_PARTS}, inclusive`, {
    details: { ArgumentName: 'partNumber', ArgumentValue: text },
  });
}

function partFrom(
  number: number,
  { bytes, md5, checksum }: ReceivedBody,
  file: string | null,
  upload: MultipartUpload,
  now: Date,
): StoredPart {
  return {
    ...{ number, bytes, etag: md5, file, modifiedMs: now.getTime() },
    checksum: checksum !== null && checksum.algorithm === upload.checksumAlgorithm ? checksum.value : null,
  };
}

function checkCopySize(range: ByteRange | null, sourceBytes: number): void {
  const bytes = range === null ? sourceBytes : range.last - range.first + 1;
  if (bytes <= MAX_BODY_BYTES) return;
  throw new DevS3Error(
    'InvalidRequest',
    `The specified copy source is larger than the maximum allowable size for a copy source: ${MAX_BODY_BYTES}`,
  );
}
