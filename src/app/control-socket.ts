/**
 * What the commands beside a running server talk to, since nobody else may open its embedded parts:
 *
 *   POST /sweep     a SweepRequest
 *   POST /uploads   an UploadsRequest (operations.ts)
 *   POST /jobs      a JobsRequest
 *   → 200 and lines of JSON: of a sweep with `list` {"found": FoundItem} for each thing that a deep sweep finds, as it
 *     finds them and no faster than they are read; at the end {"report": SweepReport, UploadsReport or JobsReport}, or
 *     {"message": why there is none}
 *
 * Whoever can reach the socket is the server's own user. A command that goes away ends what it asked for.
 */
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { prepareControlAddresses, removeControlAddress } from './control-address.ts';
import { JOBS_REQUEST, type Operations, UPLOADS_REQUEST } from './operations.ts';
import type { RunSweep } from './sweep-parts.ts';

const MAX_REQUEST_BYTES = 65_536;
const SWEEP_REQUEST = z.strictObject({
  dryRun: z.boolean(),
  deep: z.boolean(),
  adopt: z.boolean(),
  list: z.boolean(),
  verify: z.boolean(),
});

export interface ControlSocketOptions {
  /** Whose lock the caller holds: a socket that is there is a killed server's. */
  dataDir: string;
  sweep: RunSweep;
  operations: Operations;
}

type Work = (signal: AbortSignal, tell: (found: object) => Promise<void>) => Promise<object>;
/** @returns what is to be done; null when it does not understand the body */
type Route = (body: unknown) => Work | null;

export interface ControlSocket {
  /** Ends what was asked for and is still under way. */
  close(): Promise<void>;
}

/** @throws the system's error when no address can be listened on; commands then find no server */
export async function openControlSocket(options: ControlSocketOptions): Promise<ControlSocket> {
  const { dataDir, sweep, operations } = options;
  const routes = new Map<string | undefined, Route>([
    ['/sweep', route(SWEEP_REQUEST, (wish, signal, tell) => sweep(wish, signal, wish.list ? tell : undefined))],
    ['/uploads', route(UPLOADS_REQUEST, operations.runUploads)],
    ['/jobs', route(JOBS_REQUEST, operations.runJobs)],
  ]);
  const running = new Set<Promise<void>>();
  const server = createServer((request, response) => {
    const answered = answer(request, response, routes.get(request.url)).finally(() => running.delete(answered));
    running.add(answered);
  });
  await listenOnFirst(server, prepareControlAddresses(dataDir));
  return {
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
      await Promise.all(running);
      removeControlAddress(dataDir);
    },
  };
}

async function listenOnFirst(server: Server, addresses: (() => string)[]): Promise<void> {
  let lastError: unknown;
  for (const address of addresses) {
    try {
      const path = address();
      const listening = once(server, 'listening'); // rejects with an 'error'
      server.listen(path);
      await listening;
      if (process.platform !== 'win32') chmodSync(path, 0o600);
      return;
    } catch (error) {
      lastError = error;
    }
  }
  throw lastError;
}

function route<T>(schema: z.ZodType<T>, run: (wish: T, ...rest: Parameters<Work>) => Promise<object>): Route {
  return (body) => {
    const { success, data } = schema.safeParse(body);
    return success ? (...rest) => run(data, ...rest) : null;
  };
}

/** Never rejects: a client that has gone hears nothing. */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  understand: Route | undefined,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  try {
    if (request.method !== 'POST' || understand === undefined) return send(response, 404, { message: 'not found' });
    const work = understand(await readBody(request));
    if (work === null) return send(response, 400, { message: 'this server does not understand the request' });
    response.writeHead(200, { 'content-type': 'application/x-ndjson', connection: 'close' });
    const report = await work(gone.signal, (found) => writeLine(response, { found }, gone.signal));
    await writeLine(response, { report }, gone.signal);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    await writeLine(response, { message }, gone.signal).catch(() => {});
  }
  response.end();
}

/** @returns undefined when it is too long or no JSON */
async function readBody(request: IncomingMessage): Promise<unknown> {
  if (Number(request.headers['content-length'] ?? Number.POSITIVE_INFINITY) > MAX_REQUEST_BYTES) return undefined;
  try {
    return JSON.parse(await text(request));
  } catch {
    return undefined;
  }
}

/** Waits until the client has room for more. @throws when it has gone */
async function writeLine(response: ServerResponse, line: object, gone: AbortSignal): Promise<void> {
  gone.throwIfAborted();
  if (!response.write(`${JSON.stringify(line)}\n`)) await once(response, 'drain', { signal: gone });
}

function send(response: ServerResponse, status: number, body: object): void {
  if (response.destroyed) return;
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': bytes.length,
    connection: 'close',
  });
  response.end(bytes);
}
