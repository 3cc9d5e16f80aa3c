/**
 * Which web pages may ask. A browser sends a page's requests with the user's reach (the loopback interface, the local
 * network), whoever wrote the page; what it says about where they come from is all that tells them apart.
 */
import type { IncomingMessage } from 'node:http';
import type { AllowedOrigins } from '../config-values.ts';
import { clientView, type IsTrustedProxy } from '../tus/tus-location.ts';
import { isLoopbackName } from './loopback.ts';

export class OriginRules {
  readonly #allowed: AllowedOrigins;
  readonly #isTrustedProxy: IsTrustedProxy;

  constructor(allowed: AllowedOrigins, isTrustedProxy: IsTrustedProxy) {
    this.#allowed = allowed;
    this.#isTrustedProxy = isTrustedProxy;
  }

  /** Pages of any origin may ask, and nothing depends on which. */
  get open(): boolean {
    return this.#allowed === '*';
  }

  /**
   * May this be answered at all? Not only may a foreign page not read the answer: it may not cause anything.
   *
   * Without an Origin it is a program, a page of ours that reads, a link that was followed, or a foreign page that
   * embeds what it cannot read; of the last the browser says so (`Sec-Fetch-Site`).
   */
  mayAsk(request: IncomingMessage): boolean {
    if (this.open) return true;
    const { origin } = request.headers;
    return origin === undefined ? this.#mayEmbed(request) : this.#isAllowed(origin, request);
  }

  /** What `Access-Control-Allow-Origin` says. @returns null: nothing, it is no page, or one that may not read */
  readableBy(request: IncomingMessage): string | null {
    if (this.open) return '*';
    const { origin } = request.headers;
    return origin !== undefined && this.#isAllowed(origin, request) ? origin : null;
  }

  /** Is it known to be a page of another origin that may ask? */
  isFromAllowedPage(request: IncomingMessage): boolean {
    const origin = request.headers.origin ?? refererOrigin(request);
    return origin !== null && !this.#isOwn(origin, request) && this.#isAllowed(origin, request);
  }

  #mayEmbed(request: IncomingMessage): boolean {
    const { 'sec-fetch-site': site, 'sec-fetch-mode': mode, 'sec-fetch-dest': dest } = request.headers;
    if (site === undefined || site === 'same-origin' || site === 'none') return true;
    const reads = request.method === 'GET' || request.method === 'HEAD';
    if (reads && mode === 'navigate' && dest !== 'object' && dest !== 'embed') return true;
    const origin = refererOrigin(request);
    return origin !== null && this.#isAllowed(origin, request);
  }

  #isAllowed(origin: string, request: IncomingMessage): boolean {
    if (this.#isOwn(origin, request)) return true;
    if (this.#allowed === 'local') return isLoopbackOrigin(origin);
    return this.#allowed.includes(origin.toLowerCase());
  }

  /**
   * Of the origin by which the client sees us. Also with https in front of a proxy of which we know nothing: the name
   * is ours, and the page came over the better line.
   */
  #isOwn(origin: string, request: IncomingMessage): boolean {
    const { scheme, host } = clientView(request, this.#isTrustedProxy);
    if (host === undefined) return false;
    return [scheme, 'https'].some((it) => URL.parse(`${it}://${host}`)?.origin === origin.toLowerCase());
  }
}

function isLoopbackOrigin(origin: string): boolean {
  const url = URL.parse(origin);
  return url !== null && /^https?:$/.test(url.protocol) && isLoopbackName(url.hostname);
}

function refererOrigin(request: IncomingMessage): string | null {
  const { referer } = request.headers;
  return referer === undefined ? null : (URL.parse(referer)?.origin ?? null);
}
