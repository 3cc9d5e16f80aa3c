import type { IncomingMessage, ServerResponse } from 'node:http';
import express, { type ErrorRequestHandler, type Express, type RequestHandler, type Router } from 'express';
import type { TrustProxy } from '../config-values.ts';
import type { HttpMetrics } from '../observability/http-metrics.ts';
import type { Logger } from '../observability/logger.ts';
import { type PublicConfig, tellConfig } from './config-route.ts';
import { allowOrigins } from './cors.ts';
import { handleErrors, NotFoundError } from './error-response.ts';
import { refuseExpectations } from './expect-continue.ts';
import { healthRoutes, type Readiness } from './health.ts';
import { guardHosts, type HostRules } from './host-guard.ts';
import { guardOrigins } from './origin-guard.ts';
import type { OriginRules } from './origin-rules.ts';
import { guardPaths } from './path-guard.ts';
import { logRequests } from './request-log.ts';
import { measureRequests } from './request-metrics.ts';
import { setTrustProxy, trustedProxies } from './trust-proxy.ts';

export interface ExpressAppParts {
  logger: Logger;
  readiness: Readiness;
  trustProxy: TrustProxy;
  hosts: HostRules;
  origins: OriginRules;
  /** `tusEndpoint`: a path without a slash at the end. */
  publicConfig: PublicConfig;
  tus: {
    handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
    /** For what was turned away before it came there. */
    answerError(error: unknown, request: IncomingMessage, response: ServerResponse): void;
  };
  files: Router;
  events: RequestHandler;
  /** What requests are counted by, and what answers `GET /metrics`. */
  requestMetrics: HttpMetrics;
  metrics: RequestHandler;
  page: Router;
}

/** The whole HTTP surface, in the order in which a request meets it. */
export function createExpressApp(parts: ExpressAppParts): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag'); // only files have one, and it is their id
  app.enable('case sensitive routing');
  app.set('query parser', 'simple');
  setTrustProxy(app, parts.trustProxy);

  const { tusEndpoint } = parts.publicConfig;
  const isTus = (path: string) => path === tusEndpoint || path.startsWith(`${tusEndpoint}/`);
  const isQuiet = (path: string) => !isTus(path) && !path.startsWith('/api/');

  app.use(logRequests(parts.logger, isQuiet, isTus));
  app.use(measureRequests(parts.requestMetrics, isTus));
  app.use(closeWhileDraining(parts.readiness));
  // Before the guards: balancers ask by any name, and learn nothing that is anybody's business.
  app.use(healthRoutes(parts.readiness));
  app.use(refuseExpectations);
  app.use(guardHosts(parts.hosts, trustedProxies(parts.trustProxy)));
  app.use(guardOrigins(parts.origins));
  app.get('/metrics', parts.metrics);
  app.use(forwardTus(isTus, parts.tus));
  app.use(guardPaths);
  app.use('/api', apiHeaders, allowOrigins(parts.origins));
  app.get('/api/config', tellConfig(parts.publicConfig));
  app.get('/api/events', parts.events);
  app.use('/api', parts.files);
  app.use('/api', notFound);
  app.use(parts.page);
  app.use(notFound);
  app.use(refuseTus(isTus, parts.tus));
  app.use(handleErrors(parts.logger));
  return app;
}

/** A connection that is kept open would be cut in the middle of its next request. */
function closeWhileDraining(readiness: Readiness): RequestHandler {
  return (_request, response, next) => {
    if (readiness.draining) response.setHeader('Connection', 'close');
    next();
  };
}

/** Mounted without `app.use(path, …)`, which would cut the path off: the protocol's code reads whole URLs. */
function forwardTus(isTus: (path: string) => boolean, tus: ExpressAppParts['tus']): RequestHandler {
  return async (request, response, next) => {
    if (isTus(request.originalUrl.split('?', 1)[0] ?? '')) await tus.handle(request, response);
    else next();
  };
}

/** What a guard threw at the tus endpoint's door is answered in the protocol's way. */
function refuseTus(isTus: (path: string) => boolean, tus: ExpressAppParts['tus']): ErrorRequestHandler {
  return (error, request, response, next) => {
    if (isTus(request.originalUrl.split('?', 1)[0] ?? '')) tus.answerError(error, request, response);
    else next(error);
  };
}

const apiHeaders: RequestHandler = (_request, response, next) => {
  response.setHeader('X-Content-Type-Options', 'nosniff');
  next();
};

const notFound: RequestHandler = (_request, _response, next) => next(new NotFoundError());
