import type { RequestHandler } from 'express';
import { NotFoundError } from './error-response.ts';

/**
 * Turns away paths that only an attack or an accident sends: `..` and `.` segments, NUL, backslashes, and what is not
 * valid percent-encoding, encoded or not. No address of ours contains any of them, so the answer is 404.
 */
export const guardPaths: RequestHandler = (request, _response, next) => {
  next(isNamablePath(request.originalUrl) ? undefined : new NotFoundError());
};

export function isNamablePath(url: string): boolean {
  const path = url.split('?', 1)[0] ?? '';
  try {
    const decoded = decodeURIComponent(path);
    return !/[\0\\]/.test(decoded) && !/(^|\/)\.{1,2}(\/|$)/.test(decoded);
  } catch {
    return false;
  }
}
