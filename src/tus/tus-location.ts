import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';

/** Is the peer a proxy whose X-Forwarded-* headers we believe? (`TRUST_PROXY`) */
export type IsTrustedProxy = (remoteAddress: string) => boolean;

/**
 * Where an upload lives, as the client sees the server: scheme, host and path prefix of the outermost proxy when the
 * peer is trusted, else of the request itself. Relative when the request has no usable Host.
 *
 * Sources: `Forwarded` (RFC 7239), else `X-Forwarded-Proto`, `X-Forwarded-Host`, `X-Forwarded-Prefix`.
 */
export function uploadLocation(
  request: IncomingMessage,
  basePath: string,
  uploadId: string,
  isTrustedProxy: IsTrustedProxy,
): string {
  const trusted = isTrustedProxy(request.socket.remoteAddress ?? '');
  const forwarded = trusted ? readForwarded(request) : {};
  const scheme = forwarded.proto ?? ((request.socket as TLSSocket).encrypted === true ? 'https' : 'http');
  const host = forwarded.host ?? request.headers.host;
  const path = `${forwarded.prefix ?? ''}${basePath}/${uploadId}`;
  return host !== undefined && HOST.test(host) ? `${scheme}://${host}${path}` : path;
}

/** Name or address with an optional port: nothing that could turn the URL into another one. */
const HOST = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;
const PREFIX = /^(?:\/[a-z0-9._~-]+)+$/i;

function readForwarded(request: IncomingMessage): { proto?: string; host?: string; prefix?: string } {
  const forwarded = first(request.headers.forwarded);
  const proto = parameter(forwarded, 'proto') ?? first(request.headers['x-forwarded-proto']);
  const host = parameter(forwarded, 'host') ?? first(request.headers['x-forwarded-host']);
  const prefix = first(request.headers['x-forwarded-prefix'])?.replace(/\/+$/, '');
  return {
    ...(proto === 'http' || proto === 'https' ? { proto } : {}),
    ...(host !== undefined && HOST.test(host) ? { host } : {}),
    ...(prefix !== undefined && PREFIX.test(prefix) ? { prefix } : {}),
  };
}

/** The first value of a list is the one that the outermost proxy wrote. */
function first(value: string | string[] | undefined): string | undefined {
  const list = Array.isArray(value) ? value[0] : value;
  return list?.split(',')[0]?.trim();
}

function parameter(forwarded: string | undefined, name: string): string | undefined {
  return new RegExp(`(?:^|;)\\s*${name}="?([^";]+)`, 'i').exec(forwarded ?? '')?.[1];
}
