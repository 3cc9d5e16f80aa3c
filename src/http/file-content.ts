import type { Request, Response } from 'express';
import { RelayError } from '../errors.ts';
import { type ContentFacts, contentHeaders } from './content-headers.ts';
import { type ByteRange, type Downloads, forgetContent } from './downloads.ts';

export interface StoredContent extends ContentFacts {
  fileId: string;
  objectKey: string;
  bytes: number;
}

/** The record is there and its object is not: somebody removed it from the bucket. */
export class ContentMissingError extends RelayError {
  override readonly name = 'ContentMissingError';

  constructor(fileId: string) {
    super('content_missing', 404, `the content of file ${fileId} is not in the storage any more`);
  }
}

export class RangeNotSatisfiableError extends RelayError {
  override readonly name = 'RangeNotSatisfiableError';

  constructor(bytes: number) {
    super('range_not_satisfiable', 416, `the range lies outside of the ${bytes} bytes of the file`);
  }
}

/**
 * Answers GET and HEAD of a file's bytes: whole, or one range of them. Content never changes under its id, so the id is
 * the ETag, and a client that has it costs no request to S3.
 */
export async function sendContent(
  request: Request,
  response: Response,
  file: StoredContent,
  downloads: Downloads,
): Promise<void> {
  const etag = `"${file.fileId}"`;
  response.set({
    ...contentHeaders(file),
    ETag: etag,
    'Accept-Ranges': 'bytes',
    // Asked for each time, since the file may have been deleted.
    'Cache-Control': 'private, no-cache',
  });
  if (hasCurrent(request, etag)) {
    response.status(304).end();
    return;
  }
  const range = requestedRange(request, file.bytes, etag);
  if (range === 'unsatisfiable') {
    forgetContent(response);
    response.set('Content-Range', `bytes */${file.bytes}`);
    throw new RangeNotSatisfiableError(file.bytes);
  }
  if (range === null) {
    response.set('Content-Length', String(file.bytes));
  } else {
    response.status(206);
    response.set('Content-Length', String(range.last - range.first + 1));
    response.set('Content-Range', `bytes ${range.first}-${range.last}/${file.bytes}`);
  }
  await downloads.send(request, response, file.objectKey, range, () => new ContentMissingError(file.fileId));
}

/** If-None-Match, which outranks the `Cache-Control: no-cache` that fetch sends along with it. */
export function hasCurrent(request: Request, etag: string): boolean {
  const known = request.get('if-none-match')?.split(',') ?? [];
  return known.some((value) => value.trim() === '*' || value.trim().replace(/^W\//, '') === etag);
}

/**
 * @returns null for the whole: no range, several ranges (RFC 9110, 14.2 allows to ignore them), one that is not
 *   well-formed, or one whose If-Range names other content
 */
function requestedRange(request: Request, bytes: number, etag: string): ByteRange | 'unsatisfiable' | null {
  const ifRange = request.get('if-range');
  if (ifRange !== undefined && ifRange !== etag) return null;
  const ranges = request.range(bytes);
  if (ranges === undefined || ranges === -2) return null;
  if (ranges === -1) return 'unsatisfiable';
  const [only, another] = ranges;
  if (ranges.type !== 'bytes' || only === undefined || another !== undefined) return null;
  return { first: only.start, last: only.end };
}
