import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { StartError } from '../errors.ts';
import { takeAbsoluteTarget } from './absolute-target.ts';
import { continueWhenRead } from './expect-continue.ts';
import { StalledReaders } from './stalled-readers.ts';

const HEADERS_TIMEOUT_MS = 60_000;
/** Longer than the 60 s after which common balancers drop an idle connection: they must be the ones to close it. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;

const MAX_LISTENERS = 32;
/** Several times what the largest metadata that is accepted takes up. */
const MAX_HEADER_BYTES = 64 * 1024;

const UNREAD_BODY_BYTES = 16 * 1024;

/** A listening server, and the way to end it. */
export interface HttpServer {
  readonly address: AddressInfo;
  /** Takes no new connections, and closes each open one after the answer it is busy with. */
  stopAccepting(): void;
  /**
   * @param graceMs how long running requests may take; then their connections are cut
   * @returns whether all of them came to their end in time
   */
  close(graceMs: number): Promise<boolean>;
}

/**
 * @param idleReaderMs how long a client may take nothing of what there is for it; then its connection is cut
 * @throws StartError when the address cannot be listened on
 */
export async function listen(
  handler: RequestListener,
  host: string,
  port: number,
  idleReaderMs = 30_000,
): Promise<HttpServer> {
  const server = createServer(
    {
      // The body of an upload may take hours; silence within it is the tus endpoint's business.
      requestTimeout: 0,
      headersTimeout: HEADERS_TIMEOUT_MS,
      // Metadata that is too large gets an answer that says so, not Node's bare 431.
      maxHeaderSize: MAX_HEADER_BYTES,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      // A body that is not read is stopped after one chunk more. (The default would let a slow reader have two or three.)
      highWaterMark: UNREAD_BODY_BYTES,
      // Without this, Node looks for late headers every 30 s only.
      connectionsCheckingInterval: 5_000,
    },
    handler,
  );
  // No 'clientError' listener: Node's own answer to what is not HTTP (400, 408, 413, 431) knows whether an answer is
  // under way on the connection already.
  continueWhenRead(server);
  await startListening(server, host, port);
  const readers = new StalledReaders(idleReaderMs);
  const closed = new Promise<void>((resolve) => server.once('close', resolve)).then(() => readers.stop());
  let stopping = false;
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    readers.watch(socket);
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.prependListener('request', (request) => {
    // Whoever takes the body resumes it. Until then it waits at its sender, not in our memory.
    if (hasBody(request)) request.socket.pause();
    takeAbsoluteTarget(request);
  });
  server.on('request', (_request, response) => {
    // `server.close()` ends the connections that are idle now; those that become so later are for us to end.
    // The log, the metrics and a pipeline each listen for its end; Node takes more than ten for a leak.
    response.setMaxListeners(MAX_LISTENERS);
    response.once('close', () => {
      if (stopping) setImmediate(() => server.closeIdleConnections());
    });
  });
  const stopAccepting = () => {
    if (stopping) return;
    stopping = true;
    server.close(); // closes idle connections too
    // To Node a connection that has brought nothing yet is not idle: browsers open some that they may never use.
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
  };
  return {
    address: server.address() as AddressInfo,
    stopAccepting,
    async close(graceMs) {
      stopAccepting();
      const inTime = await settlesWithin(closed, graceMs);
      if (!inTime) server.closeAllConnections();
      await closed;
      return inTime;
    },
  };
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function startListening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(new StartError(explainListenError(error, host, port), { cause: error })));
    server.listen(port, host, resolve);
  });
}

function explainListenError(error: Error, host: string, port: number): string {
  switch ('code' in error ? error.code : '') {
    case 'EADDRINUSE':
      return `port ${port} on ${host} is already in use: stop the other program, or choose another PORT`;
    case 'EACCES':
      return `port ${port} on ${host} may not be used by this account: choose another PORT`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `HOST ${host} is not an address of this machine`;
    default:
      return `cannot listen on ${host} port ${port}: ${error.message}`;
  }
}

async function settlesWithin(promise: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, ms, false);
  });
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
