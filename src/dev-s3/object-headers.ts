/** The headers that an object keeps, and those that it must not be given because we would not do what they say. */
import { parseAlgorithm } from './checksums.ts';
import { DevS3Error } from './dev-s3-errors.ts';
import { headerOf, type S3Request } from './s3-request.ts';

/** Of the headers of HTTP; a request for the object may replace each of them by a query parameter `response-…`. */
export const KEPT_HEADERS = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-type',
  'expires',
];
const META = 'x-amz-meta-';
const MAX_META_BYTES = 2 * 1024;

/** Ask for something that this server does not do: silence about it would be a promise. */
const NOT_DONE = [
  'x-amz-object-lock-legal-hold',
  'x-amz-object-lock-mode',
  'x-amz-server-side-encryption',
  'x-amz-server-side-encryption-customer-algorithm',
  'x-amz-tagging',
  'x-amz-website-redirect-location',
  'x-amz-write-offset-bytes',
];
const HARMLESS_ACLS = new Set(['private', 'bucket-owner-full-control']);

/** @throws DevS3Error MetadataTooLarge, or for a header that asks for what this server does not do */
export function objectHeaders(request: S3Request): Record<string, string> {
  for (const name of NOT_DONE) {
    if (headerOf(request, name) !== undefined)
      throw new DevS3Error('NotImplemented', `dev-s3 does not implement ${name}.`);
  }
  const acl = headerOf(request, 'x-amz-acl');
  if (acl !== undefined && !HARMLESS_ACLS.has(acl)) throw new DevS3Error('AccessControlListNotSupported');
  const storageClass = headerOf(request, 'x-amz-storage-class');
  if (storageClass !== undefined && storageClass !== 'STANDARD') throw new DevS3Error('InvalidStorageClass');
  const headers: Record<string, string> = {};
  for (const name of KEPT_HEADERS) {
    const value = headerOf(request, name);
    if (value !== undefined && value !== '') headers[name] = value;
  }
  const encoding = withoutFraming(headers['content-encoding'] ?? '');
  if (encoding === '') delete headers['content-encoding'];
  else headers['content-encoding'] = encoding;
  headers['content-type'] ??= 'binary/octet-stream';
  return { ...headers, ...userMetadata(request) };
}

/** @returns the algorithm named for a multipart upload, null when none is */
export function namedAlgorithm(request: S3Request) {
  const name = headerOf(request, 'x-amz-checksum-algorithm');
  return name === undefined ? null : parseAlgorithm(name);
}

function userMetadata(request: S3Request): Record<string, string> {
  const metadata: Record<string, string> = {};
  let bytes = 0;
  for (const name in request.headers) {
    if (!name.startsWith(META)) continue;
    const value = headerOf(request, name) ?? '';
    metadata[name] = value;
    bytes += name.length - META.length + value.length;
  }
  if (bytes > MAX_META_BYTES) {
    throw new DevS3Error('MetadataTooLarge', undefined, {
      details: { Size: String(bytes), MaxSizeAllowed: String(MAX_META_BYTES) },
    });
  }
  return metadata;
}

/** `aws-chunked` is how the request travelled, not what the object is. */
function withoutFraming(encoding: string): string {
  const names = encoding.split(',').map((name) => name.trim());
  return names.filter((name) => name !== '' && name !== 'aws-chunked').join(', ');
}
