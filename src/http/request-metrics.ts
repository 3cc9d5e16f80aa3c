import type { RequestHandler } from 'express';
import type { HttpArea, HttpMetrics } from '../observability/http-metrics.ts';
import { methodOf } from '../tus/tus-routes.ts';

/** @param isTus whether a path belongs to the tus endpoint */
export function measureRequests(metrics: HttpMetrics, isTus: (path: string) => boolean): RequestHandler {
  return (request, response, next) => {
    const path = request.originalUrl.split('?', 1)[0] ?? '';
    const area: HttpArea = isTus(path) ? 'tus' : path.startsWith('/api/') ? 'api' : 'other';
    const ended = metrics.began(area, area === 'tus' ? methodOf(request) : request.method, request.socket);
    response.once('close', () => ended(response.writableFinished ? response.statusCode : null));
    next();
  };
}
