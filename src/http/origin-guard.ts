import type { RequestHandler } from 'express';
import { RelayError } from '../errors.ts';
import type { OriginRules } from './origin-rules.ts';

export class OriginNotAllowedError extends RelayError {
  override readonly name = 'OriginNotAllowedError';

  constructor() {
    super('origin_not_allowed', 403, 'pages of this origin may not use this server (CORS_ORIGINS)');
  }
}

/** Turns away what a page that may not use the server has sent, before it has any effect. */
export function guardOrigins(rules: OriginRules): RequestHandler {
  return (request, response, next) => {
    if (!rules.open) {
      response.vary('Origin');
      // For browsers that do not say where a request comes from, as over plain HTTP: they keep the answer to themselves.
      response.setHeader(
        'Cross-Origin-Resource-Policy',
        rules.isFromAllowedPage(request) ? 'cross-origin' : 'same-origin',
      );
    }
    next(rules.mayAsk(request) ? undefined : new OriginNotAllowedError());
  };
}
