/** ListParts and ListMultipartUploads. */
import { OWNER } from './bucket-operations.ts';
import { checksumElement } from './checksums.ts';
import { DevS3Error } from './dev-s3-errors.ts';
import { afterPrefix, keyToBlob } from './index-database.ts';
import { afterKey, itemsOf, lastNameOf, later, prefixesOf, readPage } from './list-page.ts';
import { encoderOf, limitOf } from './list-query.ts';
import { openUpload } from './multipart-uploads.ts';
import { type Reply, xmlReply } from './reply.ts';
import type { S3Request } from './s3-request.ts';
import type { MultipartUpload, StoredPart } from './upload-index.ts';

export async function listParts(request: S3Request): Promise<Reply> {
  const { store, query } = request;
  await request.body.none();
  const { encodingType, encode } = encoderOf(query);
  const upload = openUpload(request);
  const limit = limitOf(query, 'max-parts');
  const marker = markerOf(query.get('part-number-marker'));
  const found = limit === 0 ? [] : store.uploads.listParts(upload.id, marker, limit + 1);
  const shown = found.slice(0, limit);
  const truncated = found.length > shown.length;
  return xmlReply('ListPartsResult', {
    Bucket: upload.bucket,
    Key: encode(upload.key),
    UploadId: upload.id,
    Initiator: OWNER,
    Owner: OWNER,
    StorageClass: 'STANDARD',
    EncodingType: encodingType,
    ChecksumAlgorithm: upload.checksumAlgorithm,
    ChecksumType: upload.checksumType,
    PartNumberMarker: marker,
    NextPartNumberMarker: truncated ? shown.at(-1)?.number : null,
    MaxParts: limit,
    IsTruncated: truncated,
    Part: shown.map((part) => partXml(part, upload)),
  });
}

export async function listMultipartUploads(request: S3Request): Promise<Reply> {
  const { store, bucket, query } = request;
  await request.body.none();
  store.buckets.get(bucket);
  const { encodingType, encode } = encoderOf(query);
  const prefix = query.get('prefix') ?? '';
  const delimiter = query.get('delimiter') ?? '';
  const keyMarker = query.get('key-marker') ?? '';
  const idMarker = keyMarker === '' ? '' : (query.get('upload-id-marker') ?? '');
  const limit = limitOf(query, 'max-uploads');
  const from = firstOf(keyMarker, idMarker, delimiter);
  const page = readPage({ prefix, delimiter, limit, from: later(from, keyToBlob(prefix)) }, (start) => {
    const uploadId = idMarker !== '' && keyToBlob(keyMarker).equals(start) ? idMarker : '';
    return store.uploads.list(bucket, prefix, { key: start, uploadId });
  });
  const uploads = itemsOf(page);
  return xmlReply('ListMultipartUploadsResult', {
    Bucket: bucket,
    KeyMarker: encode(keyMarker),
    UploadIdMarker: idMarker,
    NextKeyMarker: page.next === null ? null : encode(lastNameOf(page) ?? ''),
    NextUploadIdMarker: page.next === null ? null : lastUploadId(page.entries.at(-1)),
    Prefix: encode(prefix),
    Delimiter: delimiter === '' ? null : encode(delimiter),
    EncodingType: encodingType,
    MaxUploads: limit,
    IsTruncated: page.next !== null,
    Upload: uploads.map((upload) => ({
      Key: encode(upload.key),
      UploadId: upload.id,
      Initiator: OWNER,
      Owner: OWNER,
      StorageClass: 'STANDARD',
      ChecksumAlgorithm: upload.checksumAlgorithm,
      ChecksumType: upload.checksumType,
      Initiated: new Date(upload.initiatedMs).toISOString(),
    })),
    CommonPrefixes: prefixesOf(page).map((it) => ({ Prefix: encode(it) })),
  });
}

/** With an upload's id the page begins within the marker's key; without one the whole key, or prefix, has been seen. */
function firstOf(keyMarker: string, idMarker: string, delimiter: string): Buffer {
  if (keyMarker === '') return Buffer.alloc(0);
  if (idMarker !== '') return keyToBlob(keyMarker);
  const wasPrefix = delimiter !== '' && keyMarker.endsWith(delimiter);
  return (wasPrefix ? afterPrefix(keyToBlob(keyMarker)) : null) ?? afterKey(keyMarker);
}

function partXml(part: StoredPart, { checksumAlgorithm }: MultipartUpload) {
  return {
    PartNumber: part.number,
    LastModified: new Date(part.modifiedMs).toISOString(),
    ETag: `"${part.etag}"`,
    Size: part.bytes,
    ...(checksumAlgorithm === null ? {} : { [checksumElement(checksumAlgorithm)]: part.checksum }),
  };
}

function markerOf(text: string | undefined): number {
  if (text === undefined || text === '') return 0;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new DevS3Error('InvalidArgument', 'Argument part-number-marker must be an integer between 0 and 2147483647');
}

/** '' after a common prefix: the next page begins behind all of it. */
function lastUploadId(last: { kind: string; item?: MultipartUpload } | undefined): string {
  return last?.item?.id ?? '';
}
