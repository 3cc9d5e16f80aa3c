import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RequestHandler } from 'express';
import type { OriginRules } from './origin-rules.ts';

const METHODS = 'GET, HEAD, POST, DELETE, OPTIONS';
const ALLOWED_HEADERS = 'Authorization, Content-Type, If-None-Match, If-Range, Range, X-Request-ID, X-Requested-With';
const EXPOSED_HEADERS =
  'Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag, Retry-After, X-Request-ID';
const PREFLIGHT_MAX_AGE_SECS = 86_400;

/** Lets pages of other origins read what the API answers, and answers their preflights. The tus endpoint has its own. */
export function allowOrigins(rules: OriginRules): RequestHandler {
  return (request, response, next) => {
    const isAllowed = setOriginHeaders(request, response, rules);
    if (request.method !== 'OPTIONS') {
      next();
      return;
    }
    if (isAllowed) {
      response.setHeader('Access-Control-Allow-Methods', METHODS);
      response.setHeader('Access-Control-Allow-Headers', ALLOWED_HEADERS);
      response.setHeader('Access-Control-Max-Age', PREFLIGHT_MAX_AGE_SECS);
    }
    response.status(204).end();
  };
}

/** @returns whether the page that asks may read the answer; false also for what is no page of another origin */
export function setOriginHeaders(request: IncomingMessage, response: ServerResponse, rules: OriginRules): boolean {
  const origin = rules.readableBy(request);
  if (origin === null || request.headers.origin === undefined) return false;
  response.setHeader('Access-Control-Allow-Origin', origin);
  // Browsers refuse the two together with `*`.
  if (origin !== '*') response.setHeader('Access-Control-Allow-Credentials', 'true');
  response.setHeader('Access-Control-Expose-Headers', EXPOSED_HEADERS);
  return true;
}
