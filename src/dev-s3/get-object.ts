/** GetObject and HeadObject: conditions, ranges, single parts, and the headers that the caller wants instead. */
import { validateHeaderValue } from 'node:http';
import { type ByteRange, parseRange } from './byte-range.ts';
import { checksumHeaders } from './checksums.ts';
import { checkRead, rangeCounts } from './conditions.ts';
import { DevS3Error } from './dev-s3-errors.ts';
import { openContent } from './object-content.ts';
import { KEPT_HEADERS } from './object-headers.ts';
import type { StoredObject } from './object-index.ts';
import { emptyReply, type Reply } from './reply.ts';
import { headerOf, type S3Request } from './s3-request.ts';

export function getObject(request: S3Request): Promise<Reply> {
  return readObject(request, (object, range, head) => ({
    ...head,
    body: openContent(request.store, object, range),
  }));
}

export function headObject(request: S3Request): Promise<Reply> {
  return readObject(request, (object, range, head) => {
    const bytes = range === null ? object.bytes : range.last - range.first + 1;
    return { ...head, headers: { ...head.headers, 'content-length': String(bytes) }, body: null };
  });
}

async function readObject(
  request: S3Request,
  answer: (object: StoredObject, range: ByteRange | null, head: { status: number; headers: Reply['headers'] }) => Reply,
): Promise<Reply> {
  await request.body.none();
  const object = findObject(request);
  const headers = { ...headersOf(object), ...overridesOf(request) };
  if (checkRead(request, object) === 'not-modified') return emptyReply(304, headers);
  const part = partRange(request, object);
  const range =
    part?.range ?? (rangeCounts(request, object) ? parseRange(headerOf(request, 'range'), object.bytes) : null);
  if (part !== null && part.count !== null) headers['x-amz-mp-parts-count'] = String(part.count);
  if (range === null) {
    if (headerOf(request, 'x-amz-checksum-mode')?.toUpperCase() === 'ENABLED') {
      Object.assign(headers, checksumHeaders(object.checksum));
    }
    return answer(object, null, { status: part === null ? 200 : 206, headers });
  }
  headers['content-range'] = `bytes ${range.first}-${range.last}/${object.bytes}`;
  return answer(object, range, { status: 206, headers });
}

function findObject({ store, bucket, key, query }: S3Request): StoredObject {
  store.buckets.get(bucket);
  const version = query.get('versionId');
  if (version !== undefined && version !== 'null') {
    throw new DevS3Error('InvalidArgument', 'Invalid version id specified');
  }
  const object = store.objects.find(bucket, key);
  if (object === null) throw new DevS3Error('NoSuchKey', undefined, { details: { Key: key } });
  return object;
}

function headersOf(object: StoredObject): Record<string, string> {
  return {
    ...object.headers,
    etag: `"${object.etag}"`,
    'last-modified': new Date(object.modifiedMs).toUTCString(),
    'accept-ranges': 'bytes',
  };
}

function overridesOf({ query }: S3Request): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of KEPT_HEADERS) {
    const value = query.get(`response-${name}`);
    if (value === undefined) continue;
    try {
      validateHeaderValue(name, value);
    } catch {
      throw new DevS3Error('InvalidArgument', 'Header value cannot be represented using ISO-8859-1.', {
        details: { ArgumentName: `response-${name}` },
      });
    }
    headers[name] = value;
  }
  return headers;
}

/**
 * `partNumber` asks for one part of what a multipart upload made; any other object is its own part 1.
 *
 * @returns null when none is asked for; a null range is an object without bytes, a null count an object without parts
 */
function partRange(
  { store, query, headers }: S3Request,
  object: StoredObject,
): { range: ByteRange | null; count: number | null } | null {
  const text = query.get('partNumber');
  if (text === undefined) return null;
  if (headers.range !== undefined) {
    throw new DevS3Error('InvalidRequest', 'Cannot specify both Range header and partNumber query parameter');
  }
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (number < 1 || number > 10_000) {
    throw new DevS3Error('InvalidArgument', 'Part number must be an integer between 1 and 10000, inclusive');
  }
  if (object.content.kind !== 'parts') {
    if (number > 1) throw noSuchPart();
    return { range: object.bytes === 0 ? null : { first: 0, last: object.bytes - 1 }, count: null };
  }
  const { part, count } = store.uploads.placedPart(object.content.uploadId, number);
  if (part === null) throw noSuchPart();
  if (part.bytes === 0) return { range: null, count };
  return { range: { first: part.start, last: part.start + part.bytes - 1 }, count };
}

function noSuchPart(): DevS3Error {
  return new DevS3Error('InvalidPartNumber', 'The requested partnumber is not satisfiable', { status: 416 });
}
