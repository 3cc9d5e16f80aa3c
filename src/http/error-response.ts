/** The one place where an error becomes an HTTP answer: `{code, message, requestId}` (docs/error-codes.md). */
import type { ErrorRequestHandler, Response } from 'express';
import { publicMessageOf, RelayError, UnavailableError } from '../errors.ts';
import type { Logger } from '../observability/logger.ts';
import { requestIdOf } from './request-log.ts';

export interface ErrorAnswer {
  status: number;
  code: string;
  message: string;
  /** What goes into Retry-After; null: nothing. */
  retryAfterSecs: number | null;
}

const RETRY_AFTER_SECS = 5;

/** Statuses that Express and its parsers give to a request that they could not read. */
const REQUEST_ERRORS: Readonly<Record<number, readonly [code: string, message: string]>> = {
  400: ['bad_request', 'the request could not be understood'],
  413: ['body_too_large', 'the body is larger than this address takes'],
  415: ['unsupported_media_type', 'the body is of a type that this address does not take'],
};

/** What a client may know of an error. Whatever we did not throw on purpose stays inside. */
export function answerTo(error: unknown): ErrorAnswer {
  if (error instanceof RelayError) {
    const { status, code } = error;
    const message = publicMessageOf(error);
    const retryAfterSecs = error instanceof UnavailableError ? error.retryAfterSecs : RETRY_AFTER_SECS;
    return { status, code, message, retryAfterSecs: status === 503 ? retryAfterSecs : null };
  }
  // A path that is not valid percent-encoding names nothing (Express: URIError with status 400).
  if (error instanceof URIError) return { ...answerTo(new NotFoundError()), retryAfterSecs: null };
  const status = statusOf(error);
  const known = REQUEST_ERRORS[status ?? 0] ?? (status === null ? undefined : REQUEST_ERRORS[400]);
  if (known === undefined || status === null) {
    return { status: 500, code: 'internal_error', message: 'something went wrong on our side', retryAfterSecs: null };
  }
  return { status, code: known[0], message: known[1], retryAfterSecs: null };
}

/** Nothing lives at this address. */
export class NotFoundError extends RelayError {
  override readonly name = 'NotFoundError';

  constructor() {
    super('not_found', 404, 'there is nothing at this address');
  }
}

/** The last handler of the app. */
export function handleErrors(logger: Logger): ErrorRequestHandler {
  return (error, request, response, _next) => {
    const answer = answerTo(error);
    if (answer.status >= 500 && !(response.destroyed && isBrokenConnection(error))) {
      const level = answer.status === 503 ? 'warn' : 'error';
      logger[level]({ requestId: requestIdOf(response), method: request.method, err: error }, 'request failed');
    }
    if (response.headersSent) {
      // Half an answer is out; only a broken connection tells the client that it is not whole.
      response.destroy();
      return;
    }
    sendError(response, answer);
  };
}

export function sendError(response: Response, { status, code, message, retryAfterSecs }: ErrorAnswer): void {
  if (retryAfterSecs !== null) response.setHeader('Retry-After', retryAfterSecs);
  response.setHeader('Cache-Control', 'no-store');
  response.status(status).json({ code, message, requestId: requestIdOf(response) });
}

/** A client that vanished in the middle of its answer is no failure of ours. */
function isBrokenConnection(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  return typeof code === 'string' && /^(ECONNABORTED|ECONNRESET|EPIPE|ERR_STREAM_PREMATURE_CLOSE)$/.test(code);
}

/** @returns the 4xx that `http-errors` (Express, send, body-parser) put on an error; null for anything else */
function statusOf(error: unknown): number | null {
  if (!(error instanceof Error) || !('status' in error)) return null;
  const { status } = error;
  return typeof status === 'number' && status >= 400 && status < 500 ? status : null;
}
