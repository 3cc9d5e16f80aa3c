import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Request, Response } from 'express';
import { RelayError, UnavailableError } from '../errors.ts';
import type { ObjectStorage, OpenedObject } from '../s3/object-storage.ts';

export type ByteRange = { first: number; last: number };
type ContentSource = Pick<ObjectStorage, 'getObject' | 'headObject'>;

/** Each open download holds a connection to S3 and some memory for as long as its client likes. */
export class DownloadsBusyError extends RelayError {
  override readonly name = 'DownloadsBusyError';

  constructor(limit: number) {
    super('downloads_busy', 503, `${limit} downloads are open on this node, as many as it serves at one time`);
  }
}

/**
 * The objects that are being read by clients. They have a cap and connections of their own, so that no number of slow
 * readers takes anything away from uploads. (A client that reads nothing at all: see StalledReaders.)
 */
export class Downloads {
  readonly #storage: ContentSource;
  readonly #limit: number;
  readonly #answerMs: number;
  readonly #open = new Set<Response>();

  /**
   * @param limit MAX_DOWNLOADS
   * @param answerMs how long the storage may take to begin with its answer: S3_CALL_SECS
   */
  constructor(storage: ContentSource, limit: number, answerMs: number) {
    this.#storage = storage;
    this.#limit = limit;
    this.#answerMs = answerMs;
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** The server is about to end: breaks off what has not come to its end. */
  cut(): void {
    for (const response of this.#open) response.destroy();
  }

  /**
   * Copies an object into the answer, whose headers are set. A client that leaves ends the read from S3 and is nobody's
   * failure; when S3 breaks off, the connection is cut, so that the client cannot take half a file for the whole.
   *
   * @throws DownloadsBusyError, or what `missing` makes when there is no such object; the headers that describe the
   *   content are gone then
   */
  async send(
    request: Request,
    response: Response,
    objectKey: string,
    range: ByteRange | null,
    missing: () => RelayError,
  ): Promise<void> {
    const gone = new AbortController();
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), this.#answerMs);
    let body: Readable | null = null;
    response.once('close', () => {
      this.#open.delete(response);
      // When S3 broke off, the body has its error already, and it is not the client that has left.
      if (!response.writableFinished && !body?.errored) gone.abort();
    });
    try {
      // Gone while the catalog was asked: a place that is taken now would never be free again.
      if (response.destroyed) return;
      const signal = AbortSignal.any([gone.signal, late.signal]);
      const opened = await this.#openObject(request, response, objectKey, range, signal);
      clearTimeout(timer);
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
      if (late.signal.aborted) {
        throw new UnavailableError('storage', 'the storage has not answered in time', { cause: error });
      }
      if (error instanceof RelayError) throw error;
      throw new UnavailableError('storage', 'the storage broke off in the middle of a file', { cause: error });
    } finally {
      clearTimeout(timer);
      this.#open.delete(response);
    }
  }

  /** @returns 'head' when only the headers are wanted, and the object is there: that is over soon, and takes no place */
  async #openObject(
    request: Request,
    response: Response,
    objectKey: string,
    range: ByteRange | null,
    signal: AbortSignal,
  ): Promise<OpenedObject | 'head' | null> {
    if (request.method === 'HEAD') {
      return (await this.#storage.headObject(objectKey, { signal })) === null ? null : 'head';
    }
    if (this.#open.size >= this.#limit) throw new DownloadsBusyError(this.#limit);
    this.#open.add(response);
    return this.#storage.getObject(objectKey, range ?? undefined, { signal, pool: 'downloads' });
  }
}

/** Takes back what describes the content: an error is about to be sent in its place. */
export function forgetContent(response: Response): void {
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
