import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Request, Response } from 'express';
import { RelayError, UnavailableError } from '../errors.ts';
import type { ObjectStorage, OpenedObject } from '../s3/object-storage.ts';
import { type ContentFacts, contentHeaders } from './content-headers.ts';

export interface StoredContent extends ContentFacts {
  fileId: string;
  objectKey: string;
  bytes: number;
}

type ContentSource = Pick<ObjectStorage, 'getObject' | 'headObject'>;
type ByteRange = { first: number; last: number };

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
  storage: ContentSource,
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
  await sendObject(request, response, storage, file.objectKey, range, () => new ContentMissingError(file.fileId));
}

/** If-None-Match, which outranks the `Cache-Control: no-cache` that fetch sends along with it. */
export function hasCurrent(request: Request, etag: string): boolean {
  const known = request.get('if-none-match')?.split(',') ?? [];
  return known.some((value) => value.trim() === '*' || value.trim().replace(/^W\//, '') === etag);
}

/**
 * Copies an object into the answer, whose headers are set. A client that leaves ends the read from S3 and is nobody's
 * failure; when S3 breaks off, the connection is cut, so that the client cannot take half a file for the whole.
 *
 * @throws what `missing` makes when there is no such object; the headers that describe the content are gone then
 */
export async function sendObject(
  request: Request,
  response: Response,
  storage: ContentSource,
  objectKey: string,
  range: ByteRange | null,
  missing: () => RelayError,
): Promise<void> {
  const gone = new AbortController();
  let body: Readable | null = null;
  response.once('close', () => {
    // When S3 broke off, the body has its error already, and it is not the client that has left.
    if (!response.writableFinished && !body?.errored) gone.abort();
  });
  try {
    const opened = await openObject(request, storage, objectKey, range, gone.signal);
    if (opened === null) throw missing();
    if (opened === 'head') {
      response.end();
      return;
    }
    body = opened.body;
    await pipeline(body, response);
  } catch (error) {
    if (gone.signal.aborted) {
      body?.destroy();
      return;
    }
    if (!response.headersSent) forgetContent(response);
    if (error instanceof RelayError) throw error;
    throw new UnavailableError('storage', 'the storage broke off in the middle of a file', { cause: error });
  }
}

/** @returns 'head' when only the headers are wanted, and the object is there */
async function openObject(
  request: Request,
  storage: ContentSource,
  objectKey: string,
  range: ByteRange | null,
  signal: AbortSignal,
): Promise<OpenedObject | 'head' | null> {
  if (request.method === 'HEAD') return (await storage.headObject(objectKey, { signal })) === null ? null : 'head';
  return storage.getObject(objectKey, range ?? undefined, { signal });
}

/** An error is about to be sent in its place. */
function forgetContent(response: Response): void {
  response.status(200);
  for (const name of CONTENT_HEADERS) response.removeHeader(name);
}

const CONTENT_HEADERS = [
  'Accept-Ranges',
  'Cache-Control',
  'Content-Disposition',
  'Content-Length',
  'Content-Range',
  'Content-Type',
  'ETag',
];

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
