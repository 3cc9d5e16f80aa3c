/**
 * One HTTP request to S3, sent once. Both ways to S3 use it: the hand-made requests of the hot path and the SDK's
 * client (`sdk-transport.ts`). What it adds to node:http is that every request ends, and that a failure says whether
 * anything may have been sent.
 */
import { type ClientRequest, Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import type { ConnectionPool } from './object-storage.ts';

export interface CallLimits {
  /** For a new connection, TLS included. */
  connectTimeoutMs?: number;
  /**
   * Silence on the connection. Does not run while the reader of a reply is the one not reading, and is twice as long in
   * the midst of a reply.
   */
  idleTimeoutMs?: number;
  /**
   * The whole call, its wait for a connection included; a streamed reply only until its headers. What may still reach
   * S3 late is bounded by this plus the validity of a signature (15 min): see `DISCARD_RECHECK_SECS`.
   */
  callTimeoutMs?: number;
}

export interface TransportSettings extends CallLimits {
  /** Told of every answer, as soon as its headers are there; `sentMs` by the wall clock, when the call began. */
  onAnswer?: (statusCode: number, headers: IncomingMessage['headers'], sentMs: number) => void;
  /** Connections at the same time; further calls wait for one, on the time of `callTimeoutMs`. */
  maxSockets: Readonly<Record<ConnectionPool, number>>;
}

export interface TransportBody {
  /** null: not known beforehand (only the SDK's streams); then nothing is checked. */
  bytes: number | null;
  /** See `Payload.read`. */
  read(): Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

export interface TransportCall {
  secure: boolean;
  hostname: string;
  port: number | undefined;
  method: string;
  /** With the query, encoded. */
  path: string;
  /** `host` and, with a body, `content-length` among them. */
  headers: Readonly<Record<string, string>>;
  body: TransportBody | null;
  /** The reply is handed on while it comes in, however long that takes. */
  streamed: boolean;
  signal?: AbortSignal | undefined;
  /** See `CallOptions`. */
  onProgress?: ((bytes: number) => void) | undefined;
  /** Left out: `uploads`. */
  pool?: ConnectionPool | undefined;
}

export interface TransportReply {
  statusCode: number;
  headers: IncomingMessage['headers'];
  /** To be read to the end or destroyed. */
  body: IncomingMessage;
  /** The request's body had been handed to the connection as a whole when the answer came. */
  bodySent: boolean;
}

/** No answer, or half of one. */
export class TransportError extends Error {
  override readonly name = 'TransportError';
  /**
   * Node's code (`ECONNRESET`, `ENOTFOUND`), or `ConnectTimeout`, `IdleTimeout`, `CallTimeout`, `Aborted`,
   * `BodyFailed` (the payload could not be read), `InvalidRequest` (HTTP cannot carry it).
   */
  readonly code: string;
  /** Something may have left for S3. False only when there never was a connection. */
  readonly sent: boolean;

  constructor(code: string, message: string, sent: boolean, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.sent = sent;
  }
}

const CONNECT_TIMEOUT_MS = 5_000;
const IDLE_TIMEOUT_MS = 60_000;
const CALL_TIMEOUT_MS = 600_000;

/**
 * A connection nobody used for this long is closed by us: servers close theirs after 5 to 20 s, and a request that
 * meets such a close has an unknown outcome. (A `Keep-Alive: timeout=` of the server is honoured by the agent.)
 */
const POOLED_SOCKET_MS = 4_000;

/**
 * Bytes handed to the socket before we wait for it, of a payload that is in memory anyway: they are references to its
 * chunks, not copies. One that is read from elsewhere is read piece by piece as the socket takes it.
 */
const WRITE_AHEAD_BYTES = 1024 * 1024;

export class HttpTransport {
  readonly #pools: Readonly<Record<ConnectionPool, AgentPair>>;
  readonly #connectTimeoutMs: number;
  readonly #idleTimeoutMs: number;
  readonly #callTimeoutMs: number;
  readonly #onAnswer: TransportSettings['onAnswer'];

  constructor(settings: TransportSettings) {
    const { maxSockets } = settings;
    this.#pools = {
      uploads: agentPair(maxSockets.uploads),
      downloads: agentPair(maxSockets.downloads),
      probes: agentPair(maxSockets.probes),
    };
    this.#connectTimeoutMs = settings.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    this.#idleTimeoutMs = settings.idleTimeoutMs ?? IDLE_TIMEOUT_MS;
    this.#onAnswer = settings.onAnswer;
    this.#callTimeoutMs = settings.callTimeoutMs ?? CALL_TIMEOUT_MS;
  }

  close(): void {
    for (const { http, https } of Object.values(this.#pools)) {
      http.destroy();
      https.destroy();
    }
  }

  /** @throws TransportError */
  send(call: TransportCall): Promise<TransportReply> {
    return new Promise((resolve, reject) => {
      if (call.signal?.aborted === true) throw abortError(false);
      let connected = false;
      const sentMs = Date.now();
      let reply: IncomingMessage | null = null;
      const req = this.#open(call);
      const sending = call.body === null ? null : new BodyWriter(req, call.body, call.onProgress);

      /** Ends the call with this error, whichever half of it is under way. */
      const fail = (error: TransportError) => {
        if (reply === null) reject(error);
        else reply.destroy(error);
        req.destroy();
      };
      const failWith = (code: string, message: string, cause?: unknown) =>
        fail(new TransportError(code, message, connected, cause === undefined ? {} : { cause }));

      const callTimer = setTimeout(() => {
        failWith('CallTimeout', `not done within ${this.#callTimeoutMs} ms`);
      }, this.#callTimeoutMs);
      const onAbort = () => fail(abortError(connected));
      call.signal?.addEventListener('abort', onAbort, { once: true });

      req.once('socket', (socket) => {
        if (!socket.connecting) {
          connected = true; // one of the pool: from here on the server may have seen anything
          return;
        }
        const connectTimer = setTimeout(() => {
          failWith('ConnectTimeout', `no connection within ${this.#connectTimeoutMs} ms`);
        }, this.#connectTimeoutMs);
        socket.once(call.secure ? 'secureConnect' : 'connect', () => {
          connected = true;
          clearTimeout(connectTimer);
        });
        socket.once('close', () => clearTimeout(connectTimer));
      });
      let silentSince = -1; // the socket's bytesRead when the reader was last seen to wait in vain
      const onSilence = () => {
        const bytesRead = req.socket?.bytesRead ?? 0;
        if (reply === null || (reply.readableLength === 0 && bytesRead === silentSince)) {
          failWith('IdleTimeout', `nothing moved for ${this.#idleTimeoutMs} ms`);
          return;
        }
        // It was us who did not read, or we have just begun again: the server gets its full time from now on. Node's
        // own timer would start again with traffic only, which may never come.
        silentSince = reply.readableLength === 0 ? bytesRead : -1;
        req.socket?.setTimeout(this.#idleTimeoutMs, onSilence);
      };
      req.once('timeout', onSilence);
      req.on('error', (error: NodeJS.ErrnoException) => failWith(error.code ?? error.name, error.message, error));
      req.once('close', () => {
        clearTimeout(callTimer);
        call.signal?.removeEventListener('abort', onAbort);
        req.socket?.off('timeout', onSilence);
        if (reply === null) failWith('ECONNRESET', 'closed without an answer');
      });
      req.once('response', (res) => {
        reply = res;
        if (call.streamed) clearTimeout(callTimer);
        const bodySent = sending === null || sending.stop();
        // An early answer: the server will not read the rest, so the connection is of no more use. And once the reply
        // has been read the body's memory may be used for other things.
        if (!bodySent || req.writableLength > 0) res.once('end', () => req.destroy());
        this.#onAnswer?.(res.statusCode ?? 0, res.headers, sentMs);
        resolve({ statusCode: res.statusCode ?? 0, headers: res.headers, body: res, bodySent });
      });

      if (sending === null) req.end();
      else {
        sending.run().catch((cause: unknown) => {
          // An answer that was there before counts, whatever became of the rest of the body.
          if (reply === null) failWith('BodyFailed', 'the payload could not be read', cause);
        });
      }
    });
  }

  #open(call: TransportCall): ClientRequest {
    const { http, https } = this.#pools[call.pool ?? 'uploads'];
    try {
      return (call.secure ? requestHttps : requestHttp)({
        agent: call.secure ? https : http,
        host: call.hostname.replace(/^\[|\]$/g, ''),
        port: call.port,
        method: call.method,
        path: call.path,
        headers: call.headers,
        timeout: this.#idleTimeoutMs,
      });
    } catch (cause) {
      throw new TransportError('InvalidRequest', 'not a valid HTTP request', false, { cause });
    }
  }
}

interface AgentPair {
  http: HttpAgent;
  https: HttpsAgent;
}

function agentPair(maxSockets: number): AgentPair {
  const pool = { keepAlive: true, maxSockets, timeout: POOLED_SOCKET_MS };
  return { http: new HttpAgent(pool), https: new HttpsAgent(pool) };
}

/** Writes a payload's chunks to a request as they are, no faster than the connection takes them. */
class BodyWriter {
  readonly #req: ClientRequest;
  readonly #body: TransportBody;
  readonly #onProgress: ((bytes: number) => void) | undefined;
  #written = 0;
  #ended = false;
  #stopped = false;

  constructor(req: ClientRequest, body: TransportBody, onProgress: ((bytes: number) => void) | undefined) {
    this.#req = req;
    this.#body = body;
    this.#onProgress = onProgress;
  }

  /** Throws when the payload does, or when it is not as long as it said: what follows on this connection would be garbage. */
  async run(): Promise<void> {
    const chunks = this.#body.read();
    if (Symbol.iterator in chunks) {
      for (const chunk of chunks) {
        if (!this.#write(chunk) && this.#req.writableLength >= WRITE_AHEAD_BYTES) await this.#drained();
        if (this.#over()) return;
      }
    } else {
      for await (const chunk of chunks) {
        if (this.#over()) return;
        // A piece of a file is written over by the next one: it has to be out before that is asked for.
        await this.#writeOut(chunk);
      }
    }
    if (this.#over()) return;
    const { bytes } = this.#body;
    if (bytes !== null && this.#written !== bytes) throw new Error(`${bytes} bytes promised, ${this.#written} read`);
    this.#ended = true;
    this.#req.end();
  }

  /** An answer is there. @returns whether the whole body had been written */
  stop(): boolean {
    this.#stopped = !this.#ended;
    return this.#ended || this.#written === this.#body.bytes;
  }

  #over(): boolean {
    return this.#req.destroyed || (this.#stopped && this.#written !== this.#body.bytes);
  }

  /** @returns false when the connection has enough for now */
  #write(chunk: Uint8Array, onOut?: () => void): boolean {
    const { bytes } = this.#body;
    if (bytes !== null && this.#written + chunk.byteLength > bytes) throw new Error(`more than ${bytes} bytes read`);
    this.#written += chunk.byteLength;
    this.#onProgress?.(this.#written);
    return this.#req.write(chunk, onOut);
  }

  #writeOut(chunk: Uint8Array): Promise<void> {
    return this.#untilOver((done) => this.#write(chunk, done));
  }

  #drained(): Promise<void> {
    return this.#untilOver((done) => this.#req.on('drain', done));
  }

  /** Waits until `start` has called back. A server that has answered and reads no further would never let that happen. */
  #untilOver(start: (done: () => void) => void): Promise<void> {
    const req = this.#req;
    return new Promise((resolve) => {
      const done = () => {
        req.off('drain', done).off('close', done).off('response', done);
        resolve();
      };
      req.on('close', done).on('response', done);
      start(done);
    });
  }
}

function abortError(sent: boolean): TransportError {
  return new TransportError('Aborted', 'aborted by the caller', sent);
}
