/** CompleteMultipartUpload: the parts that the client names become an object, all at once or not at all. */
import { createHash } from 'node:crypto';
import { type Checksum, checksumElement, checksumHeader, checksumType, compositeChecksum } from './checksums.ts';
import { bareEtag, writeCondition } from './conditions.ts';
import { combineChecksums } from './crc-combine.ts';
import { DevS3Error } from './dev-s3-errors.ts';
import { MAX_PARTS, uploadAddress } from './multipart-uploads.ts';
import { type Reply, xmlReply } from './reply.ts';
import { encodePath } from './request-target.ts';
import { headerOf, type S3Request } from './s3-request.ts';
import { type CompletedUpload, completeUpload, type Store } from './store.ts';
import type { MultipartUpload, StoredPart } from './upload-index.ts';
import { childrenNamed, childText, readXml, type XmlElement } from './xml.ts';

/** 10,000 parts with everything that a client may say about each. */
const MAX_XML_BYTES = 4 * 1024 * 1024;
const MIN_PART_BYTES = 5 * 1024 * 1024;
const MAX_OBJECT_BYTES = 5 * 1024 ** 4;

interface NamedPart {
  number: number;
  etag: string;
  /** The element itself: it may hold a checksum. */
  element: XmlElement;
}

export async function completeMultipartUpload(request: S3Request): Promise<Reply> {
  const { store, body, now } = request;
  const named = readParts(await body.text(MAX_XML_BYTES, 'object'));
  const address = uploadAddress(request);
  store.buckets.get(address.bucket);
  const repeated = findRepeated(request);
  if (repeated !== null) return completedReply(request, repeated, null);
  const check = writeCondition(request);
  const object = completeUpload(store, address, now, (upload, existing) => {
    check?.(existing);
    return assemble(request, upload, named);
  });
  return completedReply(request, object.etag, object.checksum);
}

/** @returns the ETag of what the upload became, when it is complete already and may be completed again */
function findRepeated(request: S3Request): string | null {
  const { store, secondComplete } = request;
  const { id, bucket, key } = uploadAddress(request);
  if (secondComplete === 'no-such-upload' || store.uploads.find(id) !== null) return null;
  const completion = store.uploads.findCompletion(id);
  return completion !== null && completion.bucket === bucket && completion.key === key ? completion.etag : null;
}

function readParts(document: string): NamedPart[] {
  const root = readXml(document);
  const parts = childrenNamed(root, 'Part').map((element) => {
    const number = Number(childText(element, 'PartNumber')?.trim() || Number.NaN);
    const etag = childText(element, 'ETag');
    if (!Number.isInteger(number) || etag === null) throw new DevS3Error('MalformedXML');
    return { number, etag: bareEtag(etag), element };
  });
  if (root.name !== 'CompleteMultipartUpload' || parts.length === 0 || parts.length > MAX_PARTS) {
    throw new DevS3Error('MalformedXML');
  }
  for (const [index, part] of parts.entries()) {
    if (part.number <= (parts[index - 1]?.number ?? 0)) throw new DevS3Error('InvalidPartOrder');
  }
  return parts;
}

function assemble(request: S3Request, upload: MultipartUpload, named: readonly NamedPart[]): CompletedUpload {
  const stored = new Map(storedParts(request.store, upload.id).map((part) => [part.number, part]));
  const parts: StoredPart[] = [];
  for (const name of named) {
    const part = stored.get(name.number);
    if (part === undefined || part.etag !== name.etag || !hasNamedChecksum(name, part, upload)) {
      throw new DevS3Error('InvalidPart', undefined, {
        details: { UploadId: upload.id, PartNumber: String(name.number), ETag: name.etag },
      });
    }
    stored.delete(name.number);
    parts.push(part);
  }
  const bytes = checkSizes(request, upload, parts);
  return {
    object: {
      ...{ key: upload.key, bytes, modifiedMs: request.now.getTime(), headers: upload.headers },
      etag: compositeEtag(parts),
      checksum: checkedChecksum(request, upload, parts),
      content: { kind: 'parts', uploadId: upload.id },
    },
    leftOut: [...stored.values()],
  };
}

function storedParts(store: Store, uploadId: string): StoredPart[] {
  return store.uploads.listParts(uploadId, 0, -1);
}

/** @returns bytes of the whole object */
function checkSizes(request: S3Request, upload: MultipartUpload, parts: readonly StoredPart[]): number {
  const small = parts.slice(0, -1).find((part) => part.bytes < MIN_PART_BYTES);
  if (small !== undefined) {
    throw new DevS3Error('EntityTooSmall', undefined, {
      details: {
        ...{ ProposedSize: String(small.bytes), MinSizeAllowed: String(MIN_PART_BYTES) },
        ...{ PartNumber: String(small.number), ETag: small.etag, UploadId: upload.id },
      },
    });
  }
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  if (bytes > MAX_OBJECT_BYTES) throw new DevS3Error('EntityTooLarge');
  const promised = headerOf(request, 'x-amz-mp-object-size');
  if (promised !== undefined && Number(promised) !== bytes) {
    throw new DevS3Error(
      'InvalidRequest',
      'The provided x-amz-mp-object-size header does not match what was computed.',
    );
  }
  return bytes;
}

function hasNamedChecksum({ element }: NamedPart, part: StoredPart, { checksumAlgorithm }: MultipartUpload): boolean {
  if (checksumAlgorithm === null) return true;
  const named = childText(element, checksumElement(checksumAlgorithm))?.trim();
  return named === undefined || named === part.checksum;
}

/** MD5 of the parts' MD5s, and how many they are. */
function compositeEtag(parts: readonly StoredPart[]): string {
  const md5 = createHash('md5');
  for (const part of parts) md5.update(Buffer.from(part.etag, 'hex'));
  return `${md5.digest('hex')}-${parts.length}`;
}

function checkedChecksum(
  request: S3Request,
  { checksumAlgorithm, checksumType: type }: MultipartUpload,
  parts: readonly StoredPart[],
): Checksum | null {
  if (checksumAlgorithm === null) return null;
  const values = parts.map((part) => ({ value: part.checksum ?? '', bytes: part.bytes }));
  const checksum =
    type === 'FULL_OBJECT'
      ? combineChecksums(checksumAlgorithm, values)
      : compositeChecksum(
          checksumAlgorithm,
          values.map((one) => one.value),
        );
  const promised = headerOf(request, checksumHeader(checksumAlgorithm));
  // A composite may come without its count.
  if (promised !== undefined && promised !== checksum.value && promised !== checksum.value.replace(/-\d+$/, '')) {
    throw new DevS3Error('BadDigest', `The ${checksumAlgorithm} you specified did not match the calculated checksum.`);
  }
  return checksum;
}

function completedReply(request: S3Request, etag: string, checksum: Checksum | null): Reply {
  const { bucket, key } = request;
  return xmlReply('CompleteMultipartUploadResult', {
    Location: `http://${headerOf(request, 'host') ?? ''}/${bucket}/${encodePath(key)}`,
    Bucket: bucket,
    Key: key,
    ETag: `"${etag}"`,
    ...(checksum === null
      ? {}
      : { [checksumElement(checksum.algorithm)]: checksum.value, ChecksumType: checksumType(checksum) }),
  });
}
