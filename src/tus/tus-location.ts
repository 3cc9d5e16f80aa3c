import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';

/** Is the peer a proxy whose X-Forwarded-* headers we believe? (`TRUST_PROXY`) */
export type IsTrustedProxy = (remoteAddress: string) => boolean;

/** Where an upload lives, as the client sees the server. Relative when the request has no usable Host. */
export function uploadLocation(
  request: IncomingMessage,
  basePath: string,
  uploadId: string,
  isTrustedProxy: IsTrustedProxy,
): string {
  const { scheme, host, prefix } = clientView(request, isTrustedProxy);
  const path = `${prefix}${basePath}/${uploadId}`;
  return host === undefined ? path : `${scheme}://${host}${path}`;
}

/** The server as the client sees it. */
export interface ClientView {
  scheme: 'http' | 'https';
  /** Name or address with an optional port; undefined when the request has none that is usable. */
  host: string | undefined;
  /** Of the path; empty, or beginning with a slash. */
  prefix: string;
}

/**
 * What the outermost proxy says when the peer is trusted, else what the request itself says.
 *
 * Sources: `Forwarded` (RFC 7239), else `X-Forwarded-Proto`, `X-Forwarded-Host`, `X-Forwarded-Prefix`.
 */
export function clientView(request: IncomingMessage, isTrustedProxy: IsTrustedProxy): ClientView {
  const trusted = isTrustedProxy(request.socket.remoteAddress ?? '');
  const forwarded = trusted ? readForwarded(request) : {};
  const host = forwarded.host ?? request.headers.host;
  return {
    scheme: forwarded.proto ?? ((request.socket as TLSSocket).encrypted === true ? 'https' : 'http'),
    host: host !== undefined && HOST.test(host) ? host : undefined,
    prefix: forwarded.prefix ?? '',
  };
}

/** Name or address with an optional port: nothing that could turn the URL into another one. */
const HOST = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;
const PREFIX = /^(?:\/[a-z0-9._~-]+)+$/i;

function readForwarded(request: IncomingMessage): { proto?: 'http' | 'https'; host?: string; prefix?: string } {
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
