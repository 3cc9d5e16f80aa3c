/**
 * dev-s3: an S3 server for development and tests, in the process that starts it. It keeps what it is given over a kill
 * of the process, not over a power cut; it has one user, no encryption, and listens on the loopback interface only.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { StartError } from '../errors.ts';
import { handleControl, isControlRequest } from './control-route.ts';
import type { DevS3Credentials } from './credentials.ts';
import { Faults } from './faults.ts';
import { RequestHandler } from './request-handler.ts';
import { SigningKeys } from './sigv4.ts';
import { closeStore, openStore, type Store } from './store.ts';

export interface DevS3Options {
  /** 0: any free one. */
  port: number;
  /** Made when it is missing; no other server may use it. */
  dataDir: string;
  credentials: DevS3Credentials;
  region: string;
  /** What a Complete of an upload that is complete already answers: S3 servers differ. Left out: `same-etag`. */
  secondComplete?: 'same-etag' | 'no-such-upload';
  /** Made when they are missing. */
  buckets?: readonly string[];
  /** Lets whoever has it set faults by `POST /__faults` (`control-route.ts`). Left out: there is no such path. */
  controlToken?: string;
  /** The clock, for signatures and dates. */
  now?: () => Date;
  /** For faults of this server, never for a client's. */
  log?: (message: string, error: unknown) => void;
}

export interface DevS3 {
  readonly url: string;
  readonly port: number;
  /** Faults on demand, and counts of requests: for tests. */
  readonly faults: Faults;
  /** @param graceMs how long running requests may take before their connections are cut. Left out: 2 s */
  close(graceMs?: number): Promise<void>;
}

const HOST = '127.0.0.1';
const CLOSE_GRACE_MS = 2_000;

/** @throws StartError with one sentence when the port or the data folder cannot be used */
export async function startDevS3(options: DevS3Options): Promise<DevS3> {
  const now = options.now ?? (() => new Date());
  const store = open(options.dataDir, now());
  for (const name of options.buckets ?? []) {
    if (store.buckets.find(name) === null) store.buckets.create(name, now().getTime());
  }
  const { accessKeyId, secretAccessKey } = options.credentials;
  const server = createServer({
    requestTimeout: 0, // a body may take hours
    headersTimeout: 60_000,
    keepAliveTimeout: 75_000,
  });
  const faults = new Faults(Date.now, () => server.closeAllConnections());
  const handler = new RequestHandler({
    ...{ store, faults, now },
    authority: { accessKeyId, region: options.region, keys: new SigningKeys(secretAccessKey) },
    secondComplete: options.secondComplete ?? 'same-etag',
    log: options.log ?? (() => {}),
  });
  const running = serve(server, (req, res, awaitsContinue) =>
    options.controlToken !== undefined && isControlRequest(req)
      ? handleControl(req, res, options.controlToken, faults)
      : handler.handle(req, res, awaitsContinue),
  );
  try {
    await listen(server, options.port);
  } catch (error) {
    await closeStore(store);
    throw error;
  }
  const { port } = server.address() as AddressInfo;
  let closed: Promise<void> | null = null;
  return {
    ...{ url: `http://${HOST}:${port}`, port, faults },
    close(graceMs = CLOSE_GRACE_MS) {
      closed ??= close(server, store, faults, running, graceMs);
      return closed;
    },
  };
}

/** @returns the requests that are being answered */
function serve(
  server: Server,
  handle: (req: IncomingMessage, res: ServerResponse, awaitsContinue: boolean) => Promise<void>,
): Set<Promise<void>> {
  const running = new Set<Promise<void>>();
  const listener =
    (awaitsContinue: boolean): RequestListener =>
    (req, res) => {
      const answered = handle(req, res, awaitsContinue);
      running.add(answered);
      answered.then(() => running.delete(answered));
      res.once('close', () => {
        // While the server closes, connections become idle one by one.
        if (!server.listening) setImmediate(() => server.closeIdleConnections());
      });
    };
  server.on('request', listener(false));
  server.on('checkContinue', listener(true));
  return running;
}

async function close(
  server: Server,
  store: Store,
  faults: Faults,
  running: Set<Promise<void>>,
  graceMs: number,
): Promise<void> {
  const ended = new Promise((resolve) => server.close(resolve)); // closes idle connections too
  faults.clear();
  const cut = setTimeout(() => server.closeAllConnections(), graceMs);
  await ended;
  clearTimeout(cut);
  await Promise.all(running);
  await closeStore(store);
}

function open(dataDir: string, now: Date): Store {
  try {
    return openStore(dataDir, now);
  } catch (error) {
    throw new StartError(explainStoreError(error, dataDir), { cause: error });
  }
}

function explainStoreError(error: unknown, dataDir: string): string {
  const message = error instanceof Error ? error.message : String(error);
  if (message.includes('database is locked')) {
    return `the embedded S3's data in ${dataDir} is in use by another server: stop it, or choose another DATA_DIR`;
  }
  return `the embedded S3 cannot use its data folder ${dataDir}: ${message}`;
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(new StartError(explainListenError(error, port), { cause: error })));
    server.listen(port, HOST, resolve);
  });
}

function explainListenError(error: Error, port: number): string {
  switch ('code' in error ? error.code : '') {
    case 'EADDRINUSE':
      return `port ${port} for the embedded S3 is already in use: stop the other program, or choose another DEV_S3_PORT`;
    case 'EACCES':
      return `port ${port} for the embedded S3 may not be used by this account: choose another DEV_S3_PORT`;
    default:
      return `the embedded S3 cannot listen on port ${port}: ${error.message}`;
  }
}
