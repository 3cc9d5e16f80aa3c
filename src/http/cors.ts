import type { Request, RequestHandler, Response } from 'express';
import type { AllowedOrigins } from '../config-values.ts';

const METHODS = 'GET, HEAD, POST, DELETE, OPTIONS';
const ALLOWED_HEADERS = 'Authorization, Content-Type, If-None-Match, If-Range, Range, X-Request-ID, X-Requested-With';
const EXPOSED_HEADERS =
  'Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag, Retry-After, X-Request-ID';
const PREFLIGHT_MAX_AGE_SECS = 86_400;

/** Lets pages of other origins use the API, and answers their preflights. The tus endpoint has its own. */
export function allowOrigins(allowed: AllowedOrigins): RequestHandler {
  return (request, response, next) => {
    const isAllowed = setOriginHeaders(request, response, allowed);
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
export function setOriginHeaders(request: Request, response: Response, allowed: AllowedOrigins): boolean {
  const origin = request.get('origin');
  if (allowed !== '*') response.vary('Origin');
  if (origin === undefined || (allowed !== '*' && !allowed.includes(origin.toLowerCase()))) return false;
  response.setHeader('Access-Control-Allow-Origin', allowed === '*' ? '*' : origin);
  response.setHeader('Access-Control-Expose-Headers', EXPOSED_HEADERS);
  return true;
}
