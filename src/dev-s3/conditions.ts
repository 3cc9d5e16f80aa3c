/** Conditional requests: RFC 9110 section 13, as far as S3 has it. */
import { DevS3Error } from './dev-s3-errors.ts';
import type { StoredObject } from './object-index.ts';
import { headerOf, type S3Request } from './s3-request.ts';

type Validators = Pick<StoredObject, 'etag' | 'modifiedMs'>;

/**
 * Of a GET or HEAD.
 *
 * @returns 'not-modified' when 304 is the answer
 * @throws DevS3Error PreconditionFailed
 */
export function checkRead(request: S3Request, object: Validators): 'read' | 'not-modified' {
  const [ifMatch, ifNoneMatch, since, unmodifiedSince] = [
    'if-match',
    'if-none-match',
    'if-modified-since',
    'if-unmodified-since',
  ].map((name) => headerOf(request, name));
  if (ifMatch !== undefined) {
    if (!listsEtag(ifMatch, object.etag)) throw failed('If-Match');
  } else if (unmodifiedSince !== undefined && isModifiedSince(object, unmodifiedSince) === true) {
    throw failed('If-Unmodified-Since');
  }
  if (ifNoneMatch !== undefined) return listsEtag(ifNoneMatch, object.etag) ? 'not-modified' : 'read';
  return since !== undefined && isModifiedSince(object, since) === false ? 'not-modified' : 'read';
}

/** Of the source of a copy. @throws DevS3Error PreconditionFailed */
export function checkCopySource(request: S3Request, source: Validators): void {
  const [ifMatch, ifNoneMatch, since, unmodifiedSince] = [
    'x-amz-copy-source-if-match',
    'x-amz-copy-source-if-none-match',
    'x-amz-copy-source-if-modified-since',
    'x-amz-copy-source-if-unmodified-since',
  ].map((name) => headerOf(request, name));
  if (ifMatch !== undefined) {
    if (!listsEtag(ifMatch, source.etag)) throw failed('x-amz-copy-source-If-Match');
  } else if (unmodifiedSince !== undefined && isModifiedSince(source, unmodifiedSince) === true) {
    throw failed('x-amz-copy-source-If-Unmodified-Since');
  }
  if (ifNoneMatch !== undefined) {
    if (listsEtag(ifNoneMatch, source.etag)) throw failed('x-amz-copy-source-If-None-Match');
  } else if (since !== undefined && isModifiedSince(source, since) === false) {
    throw failed('x-amz-copy-source-If-Modified-Since');
  }
}

/**
 * Of a PutObject or a Complete: If-None-Match with `*`, If-Match with an ETag.
 *
 * @returns the check for the moment of the commit; undefined when there is no condition
 */
export function writeCondition(request: S3Request): ((existing: StoredObject | null) => void) | undefined {
  const ifMatch = headerOf(request, 'if-match');
  const ifNoneMatch = headerOf(request, 'if-none-match');
  if (ifMatch !== undefined && ifNoneMatch !== undefined) throw new DevS3Error('NotImplemented');
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch !== '*') throw new DevS3Error('NotImplemented', 'If-None-Match of a write takes * only.');
    return (existing) => {
      if (existing !== null) throw failed('If-None-Match');
    };
  }
  if (ifMatch === undefined) return undefined;
  return (existing) => {
    if (existing === null) throw new DevS3Error('NoSuchKey');
    if (!listsEtag(ifMatch, existing.etag)) throw failed('If-Match');
  };
}

/** If-Range: without it, or while it holds, a Range counts. */
export function rangeCounts(request: S3Request, object: Validators): boolean {
  const ifRange = headerOf(request, 'if-range');
  if (ifRange === undefined) return true;
  if (ifRange.includes('"') || !ifRange.includes(' ')) return listsEtag(ifRange, object.etag);
  return isModifiedSince(object, ifRange) === false;
}

/** ETags as clients write them: quoted, weak, or bare. */
export function bareEtag(etag: string): string {
  return etag
    .trim()
    .replace(/^W\//, '')
    .replace(/^"(.*)"$/, '$1');
}

function listsEtag(header: string, etag: string): boolean {
  return header.split(',').some((one) => one.trim() === '*' || bareEtag(one) === etag);
}

/** @returns null for a date that is none: it is as if it were not there */
function isModifiedSince(object: Validators, header: string): boolean | null {
  const date = Date.parse(header);
  if (Number.isNaN(date)) return null;
  // HTTP's dates have no finer steps than a second.
  return Math.floor(object.modifiedMs / 1000) * 1000 > date;
}

function failed(condition: string): DevS3Error {
  return new DevS3Error('PreconditionFailed', undefined, { details: { Condition: condition } });
}
