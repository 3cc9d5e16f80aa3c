/**
 * DNS rebinding: a page of the web lets its own name lead to 127.0.0.1, and is then, for the browser, a page of this
 * server. Only the Host header tells it apart.
 */
import { lookup } from 'node:dns/promises';
import type { RequestHandler } from 'express';
import type { AllowedHosts } from '../config-values.ts';
import { RelayError } from '../errors.ts';
import { clientView, type IsTrustedProxy } from '../tus/tus-location.ts';
import { isLoopbackName } from './loopback.ts';

/** The name by which we were asked is none of ours. */
export class HostNotAllowedError extends RelayError {
  override readonly name = 'HostNotAllowedError';

  constructor() {
    super('host_not_allowed', 421, 'this server is not known by the name in the Host header (ALLOWED_HOSTS)');
  }
}

export interface HostRules {
  /** null: loopback names where only this machine can connect, else any. */
  allowed: AllowedHosts | null;
  /** Nobody but programs on this machine can connect. */
  loopbackOnly: boolean;
}

/**
 * A request without a Host (HTTP/1.0) is let through: no browser sends one.
 *
 * Of a proxy's word for the name that its client used (`X-Forwarded-Host`), a list decides, too.
 */
export function guardHosts({ allowed, loopbackOnly }: HostRules, isTrustedProxy: IsTrustedProxy): RequestHandler {
  if (allowed === '*' || (allowed === null && !loopbackOnly)) return (_request, _response, next) => next();
  const isAllowed = (host: string | undefined) => host === undefined || isKnown(host, allowed ?? []);
  return (request, _response, next) => {
    const { host } = request.headers;
    const seen = allowed === null ? host : clientView(request, isTrustedProxy).host;
    next(isAllowed(host) && isAllowed(seen) ? undefined : new HostNotAllowedError());
  };
}

/** Do all addresses that a server is to listen on belong to the machine itself? */
export async function isLoopbackOnly(host: string): Promise<boolean> {
  if (isLoopbackName(host.toLowerCase())) return true;
  // What cannot be looked up cannot be listened on either, and that is told in better words.
  const addresses = await lookup(host, { all: true }).catch(() => []);
  return addresses.length > 0 && addresses.every(({ address }) => isLoopbackName(address));
}

function isKnown(host: string, allowed: readonly string[]): boolean {
  const url = /[/?#@\\\s]/.test(host) ? null : URL.parse(`http://${host}`);
  if (url === null) return false;
  const hostname = url.hostname.replace(/\.$/, '');
  return isLoopbackName(hostname) || allowed.includes(hostname) || allowed.includes(host.toLowerCase());
}
