import { randomUUID } from 'node:crypto';
import type { Request, RequestHandler, Response } from 'express';
import type { Logger } from '../observability/logger.ts';
import { methodOf } from '../tus/tus-routes.ts';

/** 1 to 128 printable ASCII characters without spaces: safe in a header and in a log. */
const SANE_REQUEST_ID = /^[\x21-\x7e]{1,128}$/;
const MAX_PATH_CHARS = 300;
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

/**
 * Gives each request an id (the client's own `X-Request-ID` when it is sane), sends it back, and logs one line when the
 * request is over. Query strings are not logged: they may hold what is nobody's business.
 *
 * @param isQuiet paths whose successes are worth `debug` only
 * @param isTus paths where `X-HTTP-Method-Override` says what is meant
 */
export function logRequests(
  logger: Logger,
  isQuiet: (path: string) => boolean,
  isTus: (path: string) => boolean,
): RequestHandler {
  return (request, response, next) => {
    const sent = request.get('x-request-id') ?? '';
    const requestId = SANE_REQUEST_ID.test(sent) ? sent : randomUUID();
    response.locals.requestId = requestId;
    response.setHeader('X-Request-ID', requestId);
    const startedMs = performance.now();
    const { socket } = request;
    const [readBefore, writtenBefore] = [socket.bytesRead, socket.bytesWritten];
    const path = (request.originalUrl.split('?', 1)[0] ?? '').slice(0, MAX_PATH_CHARS);
    const sentMethod = request.method;
    const method = isTus(path) ? methodOf(request) : sentMethod;
    response.once('close', () => {
      const finished = response.writableFinished;
      const line = {
        requestId,
        method,
        ...(method === sentMethod ? {} : { sentAs: sentMethod }),
        path,
        // Where the client left before the answer, whatever status was meant has not reached it.
        status: response.headersSent ? response.statusCode : null,
        ms: Math.round(performance.now() - startedMs),
        ...uploadOf(path, response),
        client: request.ip,
        bytesIn: bodyBytes(request) ?? socket.bytesRead - readBefore,
        bytesOut: socket.bytesWritten - writtenBefore,
        ...(finished ? {} : { clientGone: true }),
      };
      logger[levelOf(line.status, isQuiet(path))](line, 'request');
    });
    next();
  };
}

function levelOf(status: number | null, isQuiet: boolean): 'debug' | 'info' | 'warn' | 'error' {
  if (status !== null && status >= 500) return status === 503 ? 'warn' : 'error';
  return isQuiet && (status ?? 0) < 400 ? 'debug' : 'info';
}

/** The upload (or file, which has its id) that a request was about; of a creation the one that it made. */
function uploadOf(path: string, response: Response): { uploadId?: string } {
  const place = response.getHeader('location');
  const uploadId = UUID.exec(path)?.[0] ?? (typeof place === 'string' ? UUID.exec(place)?.[0] : undefined);
  return uploadId === undefined ? {} : { uploadId };
}

/** @returns null when the client did not say, or did not send all of it: what came over the connection is known then */
function bodyBytes(request: Request): number | null {
  const declared = request.get('content-length');
  return request.complete && declared !== undefined ? Number(declared) : null;
}

export function requestIdOf(response: Response): string {
  return String(response.locals.requestId ?? '');
}
