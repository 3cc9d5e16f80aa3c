import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { Server } from '@tus/server';
import type { UploadLocker } from '../locks/upload-locker.ts';
import type { RelayStore } from '../relay/relay-store.ts';
import type { UploadRelay } from '../relay/upload-relay.ts';
import { createUpload } from './create-upload.ts';
import { headUpload } from './head-upload.ts';
import { patchUpload } from './patch-upload.ts';
import { type RunningRequest, RunningRequests, ServerShutdownError } from './running-requests.ts';
import { terminateUpload } from './terminate-upload.ts';
import { answer } from './tus-answer.ts';
import { TusProtocolError, toTusAnswer } from './tus-errors.ts';
import {
  assertTusVersion,
  corsHeaders,
  MORE_ALLOWED_HEADERS,
  MORE_EXPOSED_HEADERS,
  TUS_VERSION,
} from './tus-headers.ts';
import { type IsTrustedProxy, uploadLocation } from './tus-location.ts';
import { methodOf, uploadIdOf } from './tus-routes.ts';

/** What the address of an upload takes. */
const UPLOAD_METHODS = 'DELETE, GET, HEAD, OPTIONS, PATCH';

export interface TusServerOptions {
  /** Where the endpoint is mounted, without a slash at the end. */
  basePath: string;
  maxUploadBytes: number;
  /** Which page may read the answer: its origin, `*` for any, null for none. */
  readableBy: (request: IncomingMessage) => string | null;
  isTrustedProxy: IsTrustedProxy;
  /** Answers GET of an upload: the download of a finished file. */
  download: (uploadId: string, request: IncomingMessage, response: ServerResponse) => Promise<void>;
  /** For failures that are ours, not the client's. */
  onFailure: (error: unknown, request: IncomingMessage) => void;
  /** For a creation that was answered 201 although not all of its body could be stored. */
  onBodyFailure: (failure: unknown, uploadId: string, request: IncomingMessage) => void;
}

/**
 * The tus endpoint. What concerns an upload is answered by handlers of our own, straight from Node's streams and all with
 * the same headers; OPTIONS by `@tus/server`.
 */
export class TusServer extends Server {
  readonly #options: TusServerOptions;
  readonly #relay: UploadRelay;
  readonly #locker: UploadLocker;
  readonly #running = new RunningRequests();

  constructor(options: TusServerOptions, relay: UploadRelay, store: RelayStore, locker: UploadLocker) {
    const { basePath, maxUploadBytes, onFailure } = options;
    super({
      path: basePath,
      datastore: store,
      maxSize: maxUploadBytes,
      locker: toTusLocker(locker),
      allowedHeaders: MORE_ALLOWED_HEADERS,
      exposedHeaders: MORE_EXPOSED_HEADERS,
      // We say it ourselves, since it depends on more than the origin.
      allowedOrigins: () => false,
      getFileIdFromRequest: (_request, lastSegment) => uploadIdOf(`/${lastSegment}`, '') ?? undefined,
      onResponseError: (request, error) => {
        const { status, body } = toTusAnswer(error);
        const { node } = request.runtime ?? {};
        if (status >= 500 && node !== undefined) onFailure(error, node.req as unknown as IncomingMessage);
        return { status_code: status, body };
      },
    });
    this.#options = options;
    this.#relay = relay;
    this.#locker = locker;
  }

  /** Running requests get `graceMs` to end, then store what they have and answer. Bounded. */
  drain(graceMs: number): Promise<void> {
    return this.#running.drain(graceMs);
  }

  override async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = methodOf(request);
    try {
      if (method === 'GET') await this.#download(request, response);
      else if (method === 'OPTIONS') await this.#tellAbilities(request, response);
      else await this.#running.run(method, response, (running) => this.#route(method, request, response, running));
    } catch (error) {
      this.answerError(error, request, response);
    }
  }

  /** Not among the running requests: a shutdown waits for what is to be committed, not for who reads. */
  #download(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#running.draining) throw new ServerShutdownError();
    const uploadId = uploadIdOf(pathOf(request), this.#options.basePath);
    if (uploadId === null) throw notFound('GET');
    return this.#options.download(uploadId, request, response);
  }

  /**
   * Not among the running requests: the library waits for ever when the client leaves before the answer is out. A
   * shutdown still answers it, as browsers ask so before each HEAD of another origin.
   */
  #tellAbilities(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const cors = corsHeaders(this.#options.readableBy(request));
    for (const [name, value] of Object.entries(cors)) response.setHeader(name, String(value));
    // Of a request that only means OPTIONS, the library would do what it is called.
    request.method = 'OPTIONS';
    return super.handle(request, response);
  }

  async #route(
    method: string,
    request: IncomingMessage,
    response: ServerResponse,
    running: RunningRequest,
  ): Promise<void> {
    const { basePath, isTrustedProxy } = this.#options;
    const path = pathOf(request);
    const uploadId = uploadIdOf(path, basePath);
    assertTusVersion(request);
    if (uploadId === null) {
      if (method !== 'POST' || !isCollection(path, basePath)) throw notFound(method);
      const locate = (id: string) => uploadLocation(request, basePath, id, isTrustedProxy);
      const onBodyFailure = (failure: unknown, id: string) => this.#options.onBodyFailure(failure, id, request);
      const headers = await createUpload(request, running, this.#relay, locate, onBodyFailure);
      return this.#answer(request, response, 201, headers);
    }
    switch (method) {
      case 'PATCH':
        return this.#answer(
          request,
          response,
          204,
          await patchUpload(request, running, uploadId, this.#relay, this.#locker),
        );
      case 'HEAD':
        return this.#answer(request, response, 200, await headUpload(running, uploadId, this.#relay, this.#locker));
      case 'DELETE':
        await terminateUpload(running, uploadId, this.#relay, this.#locker);
        return this.#answer(request, response, 204, { 'Cache-Control': 'no-store' });
      default:
        throw new TusProtocolError('method_not_allowed', 405, `"${method}" is not possible here`);
    }
  }

  #answer(
    request: IncomingMessage,
    response: ServerResponse,
    status: number,
    headers: OutgoingHttpHeaders,
    body?: string,
  ): void {
    const cors = corsHeaders(this.#options.readableBy(request));
    answer(request, response, status, { 'Tus-Resumable': TUS_VERSION, ...cors, ...headers }, body);
  }

  /** Also for what was turned away before it came here. */
  answerError(error: unknown, request: IncomingMessage, response: ServerResponse): void {
    // A client that has gone is no failure, and nobody is there to be answered.
    if (response.destroyed || response.headersSent) return;
    const { status, body, retryAfterSecs } = toTusAnswer(error);
    if (status >= 500 && !this.#running.draining) this.#options.onFailure(error, request);
    this.#answer(
      request,
      response,
      status,
      {
        'Cache-Control': 'no-store',
        ...(retryAfterSecs === null ? {} : { 'Retry-After': retryAfterSecs }),
        ...(status === 412 ? { 'Tus-Version': TUS_VERSION } : {}),
        ...(status === 405 ? { Allow: UPLOAD_METHODS } : {}),
      },
      body,
    );
  }
}

function pathOf(request: IncomingMessage): string {
  return (request as { originalUrl?: string }).originalUrl ?? request.url ?? '/';
}

function isCollection(path: string, basePath: string): boolean {
  const [pathname] = path.split('?');
  return pathname === basePath || pathname === `${basePath}/`;
}

function notFound(method: string): TusProtocolError {
  return new TusProtocolError('upload_not_found', 404, `there is nothing to ${method} here`);
}

/** Our lock in the shape that `@tus/server` asks for. */
function toTusLocker(locker: UploadLocker) {
  return {
    newLock(uploadId: string) {
      let release = async () => {};
      return {
        async lock(signal: AbortSignal, cancel: () => void): Promise<void> {
          release = await locker.acquire({ uploadId, signal, onReleaseRequested: cancel });
        },
        unlock: (): Promise<void> => release(),
      };
    },
  };
}
