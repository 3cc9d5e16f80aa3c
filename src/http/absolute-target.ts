import type { IncomingMessage } from 'node:http';

/**
 * `GET http://host/path HTTP/1.1`: what a client sends that takes us for a proxy. A server has to understand it, and to
 * ignore the Host header then (RFC 9112, 3.2.2). From here on the request is the same as `GET /path` with that Host.
 */
export function takeAbsoluteTarget(request: IncomingMessage): void {
  const [, host, rest] = /^https?:\/\/([^/?#]*)(.*)$/is.exec(request.url ?? '') ?? [];
  if (host === undefined || rest === undefined) return;
  request.headers.host = host;
  request.url = rest.startsWith('/') ? rest : `/${rest}`;
}
