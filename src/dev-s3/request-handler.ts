/** From a request to its answer: recognised, believed, carried out, sent. */
import { randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { type Authority, authenticate } from './authenticate.ts';
import { type CrossOrigin, corsHeaders } from './cors.ts';
import { DevS3Error } from './dev-s3-errors.ts';
import type { Faults } from './faults.ts';
import { operationOf } from './operation.ts';
import { OPERATIONS } from './operations.ts';
import { discardReply, emptyReply, type Reply, sendReply } from './reply.ts';
import { RequestBody } from './request-body.ts';
import { ConnectionGone, errorOf, RequestFault } from './request-fault.ts';
import { parseTarget, type Query, type RequestTarget } from './request-target.ts';
import type { Store } from './store.ts';
import { writeErrorXml } from './xml.ts';

export interface HandlerSettings {
  store: Store;
  authority: Authority;
  faults: Faults;
  secondComplete: 'same-etag' | 'no-such-upload';
  now: () => Date;
  /** For what is a fault of this server, never for a client's. */
  log: (message: string, error: unknown) => void;
}

/** Parameters of a presigned query that are the signature, not headers in disguise. */
const SIGNATURE_PARAMETERS = new Set([
  ...['x-amz-algorithm', 'x-amz-credential', 'x-amz-date', 'x-amz-expires', 'x-amz-signedheaders', 'x-amz-signature'],
  ...['x-amz-security-token', 'x-amz-content-sha256'],
]);

export class RequestHandler {
  readonly #settings: HandlerSettings;

  constructor(settings: HandlerSettings) {
    this.#settings = settings;
  }

  /**
   * Never rejects.
   *
   * @param awaitsContinue the client sends its body only once it is told to
   */
  async handle(req: IncomingMessage, res: ServerResponse, awaitsContinue: boolean): Promise<void> {
    // A connection that breaks is noticed by whoever reads or writes; unheard, this event would end the process.
    res.on('error', () => {});
    const exchange = new Exchange(req, res, awaitsContinue);
    const { faults, log, now } = this.#settings;
    // By the clock that signatures are checked against, which a test may set.
    res.setHeader('Date', now().toUTCString());
    try {
      const outage = faults.outage();
      if (outage === 'cut') throw new ConnectionGone();
      if (outage === 'busy') throw errorOf({ status: 503, code: 'SlowDown' });
      await this.#answer(exchange);
    } catch (error) {
      if (error instanceof ConnectionGone) {
        req.socket.destroy();
        return;
      }
      if (!(error instanceof DevS3Error)) log('dev-s3 could not answer a request', error);
      await exchange.sendError(error).catch((failure: unknown) => {
        log('dev-s3 could not send an answer', failure);
        req.socket.destroy();
      });
    }
  }

  async #answer(exchange: Exchange): Promise<void> {
    const { faults } = this.#settings;
    const { req, res } = exchange;
    const method = req.method ?? '';
    const target = parseTarget(req.url ?? '');
    const headers = withQueryHeaders(req.headers, target.query);
    const operation = operationOf(method, target, headers);
    const fault = new RequestFault(faults.take(operation, target.key ?? ''), faults, req, res);
    exchange.corsHeaders = this.#corsHeaders(req, target);
    await fault.at('start');
    if (operation === 'Preflight') {
      const { corsHeaders } = exchange;
      return exchange.send(corsHeaders === null ? refusedPreflight() : emptyReply(200, corsHeaders), null);
    }
    const reply = await this.#carryOut(operation, exchange, { target, headers }, fault);
    try {
      await fault.at('done');
    } catch (error) {
      discardReply(reply);
      throw error;
    }
    await exchange.send(reply, fault.cut);
  }

  #carryOut(
    operation: keyof typeof OPERATIONS,
    exchange: Exchange,
    { target, headers }: { target: RequestTarget; headers: IncomingHttpHeaders },
    fault: RequestFault,
  ): Promise<Reply> {
    const { store, authority, secondComplete } = this.#settings;
    const { req } = exchange;
    const now = this.#settings.now();
    const incoming = { method: req.method ?? '', headers: req.headers, rawHeaders: req.rawHeaders, target };
    const claim = authenticate(incoming, authority, now);
    const body = new RequestBody(req, headers, claim, {
      begin: () => exchange.begin(),
      onBytes: fault.onBytes,
      received: () => fault.at('received'),
    });
    return OPERATIONS[operation]({
      ...{ store, headers, body, now, secondComplete },
      bucket: target.bucket ?? '',
      key: target.key ?? '',
      query: target.query,
      region: authority.region,
    });
  }

  /** @returns null when it is no request of a page, or of one that the bucket does not allow */
  #corsHeaders({ headers, method }: IncomingMessage, { bucket }: RequestTarget): Record<string, string> | null {
    const { origin } = headers;
    if (origin === undefined) return null;
    const wanted = headers['access-control-request-headers'];
    const request: CrossOrigin = {
      origin,
      method: (method === 'OPTIONS' ? headers['access-control-request-method'] : method) ?? '',
      headers: method === 'OPTIONS' && wanted !== undefined ? wanted.split(',').map((name) => name.trim()) : [],
    };
    const rules = bucket === null ? null : (this.#settings.store.buckets.find(bucket)?.cors ?? null);
    return corsHeaders(rules, request);
  }
}

/** A request and the answer to it. */
class Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  corsHeaders: Record<string, string> | null = null;
  readonly #requestId = randomBytes(8).toString('hex').toUpperCase();
  #awaitsContinue: boolean;

  constructor(req: IncomingMessage, res: ServerResponse, awaitsContinue: boolean) {
    this.req = req;
    this.res = res;
    this.#awaitsContinue = awaitsContinue;
  }

  begin(): void {
    if (this.#awaitsContinue) this.res.writeContinue();
    this.#awaitsContinue = false;
  }

  async send(reply: Reply, cut: { afterBytes: number } | null): Promise<void> {
    Object.assign(reply.headers, this.corsHeaders, {
      'x-amz-request-id': this.#requestId,
      'x-amz-id-2': this.#requestId,
      server: 'dev-s3',
    });
    // A client that was not told to go on may send its body or not: what comes next on this connection is a guess.
    if (this.#awaitsContinue) reply.headers.connection = 'close';
    await sendReply(this.res, reply, this.req.method === 'HEAD', cut);
  }

  /** Of an answer that has begun already only the connection can say that it is not whole. */
  async sendError(error: unknown): Promise<void> {
    if (this.res.headersSent || this.res.destroyed) {
      this.res.destroy();
      return;
    }
    const known = error instanceof DevS3Error ? error : new DevS3Error('InternalError');
    const body = writeErrorXml({
      Code: known.code,
      Message: known.message,
      ...known.details,
      Resource: (this.req.url ?? '').replace(/\?.*$/, ''),
      RequestId: this.#requestId,
      HostId: this.#requestId,
    });
    await this.send(
      { status: known.status, headers: { 'content-type': 'application/xml', ...known.headers }, body },
      null,
    );
  }
}

function refusedPreflight(): Reply {
  throw new DevS3Error('AccessForbidden', 'CORSResponse: This CORS request is not allowed.', { status: 403 });
}

/** S3 takes the `x-amz-…` headers of a presigned request from its query as well. */
function withQueryHeaders(headers: IncomingHttpHeaders, query: Query): IncomingHttpHeaders {
  if (!query.has('X-Amz-Signature')) return headers;
  const merged = { ...headers };
  for (const [name, value] of query.pairs) {
    const lower = name.toLowerCase();
    if (!lower.startsWith('x-amz-') || SIGNATURE_PARAMETERS.has(lower)) continue;
    // As if it had come in a header, whose bytes Node reads as Latin-1.
    merged[lower] ??= Buffer.from(value, 'utf8').toString('latin1');
  }
  return merged;
}
