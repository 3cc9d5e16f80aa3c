/**
 * `GET /metrics`: the node's metrics, as Prometheus reads them. They hold no secrets, but nobody's business either:
 * without a `METRICS_TOKEN` they are for this machine only.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Request, RequestHandler } from 'express';
import { RelayError } from '../errors.ts';

export interface MetricsAccess {
  /** null: whoever asks from this machine may read. */
  token: string | null;
  /** There is a proxy in front: then everybody comes from its address. */
  behindProxy: boolean;
}

export interface MetricsText {
  readonly contentType: string;
  metrics(): Promise<string>;
}

export class MetricsForbiddenError extends RelayError {
  override readonly name = 'MetricsForbiddenError';

  constructor(hasToken: boolean) {
    super(
      'metrics_forbidden',
      403,
      hasToken
        ? 'metrics need "Authorization: Bearer" with the METRICS_TOKEN of this server'
        : 'metrics are for programs on the server’s own machine, without a proxy between; others need a METRICS_TOKEN',
    );
  }
}

export function tellMetrics(source: MetricsText, access: MetricsAccess): RequestHandler {
  return async (request, response) => {
    if (!mayRead(request, access)) throw new MetricsForbiddenError(access.token !== null);
    const text = await source.metrics();
    response.setHeader('Content-Type', source.contentType);
    response.setHeader('Cache-Control', 'no-store');
    response.end(text);
  };
}

function mayRead(request: Request, { token, behindProxy }: MetricsAccess): boolean {
  if (token !== null) return sameText(request.headers.authorization ?? '', `Bearer ${token}`);
  return !behindProxy && isLoopback(request.socket.remoteAddress ?? '') && !wasForwarded(request);
}

/** The peer itself: what a header says about it is nothing to go by. */
function isLoopback(address: string): boolean {
  return address === '::1' || /^(::ffff:)?127(\.\d+){3}$/.test(address);
}

/** A proxy on this machine that TRUST_PROXY does not know of. */
function wasForwarded({ headers }: Request): boolean {
  return ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via'].some((name) => name in headers);
}

/** Takes the same time wherever the two differ. */
function sameText(found: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(found), digest(expected));
}
