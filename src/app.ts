/** The composition root: opens everything in order, closes it in reverse. The only module that sees all the others. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { networkInterfaces } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Registry } from 'prom-client';
import { type ControlSocket, openControlSocket } from './app/control-socket.ts';
import { originsOf } from './app/listening-origins.ts';
import { addEventMetrics, addNodeMetrics } from './app/node-metrics.ts';
import { openCatalog } from './app/open-catalog.ts';
import { openMemory } from './app/open-memory.ts';
import { openShared } from './app/open-shared.ts';
import { openStorage } from './app/open-storage.ts';
import { createRelayParts, type RelayParts, type SweepTiming, sweepTiming } from './app/relay-parts.ts';
import { lockDataDir } from './catalog/data-dir-lock.ts';
import type { Config, S3Credentials, Secrets } from './config.ts';
import { RelayError } from './errors.ts';
import { Downloads } from './http/downloads.ts';
import { EventStream } from './http/events-route.ts';
import { createExpressApp } from './http/express-app.ts';
import { describeFile } from './http/file-json.ts';
import { fileRoutes } from './http/file-routes.ts';
import { Readiness } from './http/health.ts';
import { isLoopbackOnly } from './http/host-guard.ts';
import { listen } from './http/http-server.ts';
import { type MetricsText, tellMetrics } from './http/metrics-route.ts';
import { OriginRules } from './http/origin-rules.ts';
import { pageRoutes } from './http/page.ts';
import { trustedProxies } from './http/trust-proxy.ts';
import { downloadUpload } from './http/upload-download.ts';
import type { Logger } from './observability/logger.ts';
import { createMetrics } from './observability/metrics.ts';
import { ServiceWatch } from './observability/service-watch.ts';
import { createJobQueue } from './pipeline/job-queue.ts';
import { ThumbnailMaker } from './pipeline/thumbnail-maker.ts';
import { evidentReads } from './relay/evident-reads.ts';
import { UploadGoneError, UploadNotFoundError } from './relay/relay-errors.ts';
import { RelayStore } from './relay/relay-store.ts';
import { StorageElsewhereError } from './relay/storage-canary.ts';
import { measuredStorage, type S3CallObserver } from './s3/measured-storage.ts';
import { TusServer } from './tus/tus-server.ts';

const PAGE_FOLDER = fileURLToPath(new URL('../client/dist', import.meta.url));
/** What requests may still take when every upload has let go. */
const LAST_ANSWERS_MS = 1_000;
/** A page whose name leads to this server is, for a browser, a page of this server. */
const OPEN_TO_REBINDING =
  'other machines can connect, under any name: set ALLOWED_HOSTS to the names of this server, or pages of the web can ' +
  'reach it through the browser of whoever can';

/** Where to find what runs, as the operator wants to read it. */
export interface Addresses {
  page: string;
  /** The same at the other addresses that the server can be reached at. */
  otherPages: string[];
  tus: string;
  /** URL of the embedded S3, or which bucket of which service. */
  s3: string;
  /** null: a bucket of the operator's own. */
  embeddedS3: (S3Credentials & { bucket: string }) | null;
  database: string;
}

export interface RunningServer {
  readonly addresses: Addresses;
  /** null when nothing is kept on this machine. */
  readonly dataDir: string | null;
  readonly port: number;
  /** Graceful: running requests commit what they hold, within `drainSecs`; then everything is closed. */
  close(): Promise<void>;
}

/** What a server is opened with. Tests put wrappers around the two stores, and do not wait an hour for a recheck. */
export interface Parts {
  openStorage: typeof openStorage;
  openCatalog: typeof openCatalog;
  /** Left out: as configured. */
  timing?: SweepTiming;
  /** What `/metrics` tells; left out: what this process alone has to tell. */
  shareMetrics?: (registry: Registry) => MetricsText;
}

export const realParts: Parts = { openStorage, openCatalog };

/** @throws StartError, UnavailableError: one sentence for the operator each; nothing is left open then */
export async function startServer(
  config: Config,
  secrets: Secrets,
  logger: Logger,
  from: Parts = realParts,
): Promise<RunningServer> {
  await using opened = new AsyncDisposableStack();
  const keepsData = config.s3.kind === 'embedded' || secrets.databaseUrl === null;
  const lock = keepsData ? opened.adopt(lockDataDir(config.dataDir), (it) => it.release()) : null;
  const s3 = opened.adopt(await from.openStorage(config, secrets, logger), (it) => it.close());
  const databaseWatch = new ServiceWatch('database', logger);
  const database = opened.adopt(
    await from.openCatalog(secrets.databaseUrl, lock, config.startWaitSecs, changeTeller(databaseWatch)),
    (it) => it.close(),
  );
  // Before the queue: its jobs need it to the last.
  const maker = opened.adopt(new ThumbnailMaker(), (it) => it.close());
  const queue = opened.adopt(createJobQueue(database, { log: logger }), (it) => it.stop());
  await queue.start();

  const budget = opened.adopt(await openMemory(config, logger), (it) => it.spillStore.settled());
  const { events: bus, locker } = await openShared(secrets, logger, opened);
  const metrics = createMetrics();
  const storageWatch = new ServiceWatch('storage', logger);
  const storage = measuredStorage(s3.storage, watchedBy(storageWatch, metrics.s3));
  const parts = createRelayParts(
    config,
    { ...{ database, queue, budget, maker, locker, logger, storage }, events: bus },
    from.timing ?? sweepTiming(config),
  );
  const downloads = new Downloads(evidentReads(storage, parts.canary), config.maxDownloads, config.s3CallSecs * 1_000);
  addNodeMetrics(metrics.registry, { budget, locker, database, downloads, uploads: parts.relay.counters });
  opened.defer(() => parts.discards.stop());
  opened.defer(() => parts.sweeper.stop());
  if (lock !== null) opened.adopt(await openControl(lock.dataDir, parts, logger), (it) => it?.close());

  // Without it uploads go on as well; only nothing is believed to be gone. The sweeper tries again.
  await parts.canary.keep().catch((error) => logger.warn({ err: error }, 'the canary in the bucket cannot be kept'));

  const { files, relay } = parts;
  const findFiles = async (fileIds: string[]) => {
    const found = await files.findFiles(fileIds);
    return new Map(found.map((file) => [file.fileId, describeFile(file, config.publicUrlBase)]));
  };
  const events = opened.adopt(
    new EventStream(bus, findFiles, {
      maxReaders: config.maxEventReaders,
      onFailure: (error) => logger.warn({ err: error }, 'files could not be looked up for live events'),
    }),
    (it) => it.close(),
  );
  addEventMetrics(metrics.registry, events);
  const readiness = new Readiness([
    { name: 'database', check: (signal) => database.ping(signal), onChange: changeTeller(databaseWatch) },
    {
      name: 'storage',
      check: async (signal) => {
        await s3.check(signal);
        await parts.canary.check({ signal, pool: 'probes' });
      },
      // That it is another storage the canary has told by itself.
      onChange: (problem) => {
        if (!(problem instanceof StorageElsewhereError)) changeTeller(storageWatch)(problem);
      },
    },
  ]);
  const isTrustedProxy = trustedProxies(config.trustProxy);
  const origins = new OriginRules(config.corsOrigins, isTrustedProxy);
  const hosts = { allowed: config.allowedHosts, loopbackOnly: await isLoopbackOnly(config.host) };
  if (!hosts.loopbackOnly && hosts.allowed === null && !origins.open) logger.warn(OPEN_TO_REBINDING);
  const tus = new TusServer(
    {
      basePath: config.basePath,
      maxUploadBytes: config.maxUploadBytes,
      isTrustedProxy,
      readableBy: (request) => origins.readableBy(request),
      download: downloadUpload({ uploads: relay, files, downloads, origins }),
      // Of an outage the log has one error, by readiness; not one for each request that is turned away for now.
      onFailure: (error, request) =>
        logger[error instanceof RelayError && error.status === 503 ? 'warn' : 'error'](
          { err: error, method: request.method, requestId: requestIdOf(request) },
          'a tus request failed',
        ),
      onBodyFailure: (failure, uploadId, request) =>
        logger[failure instanceof RelayError ? 'warn' : 'error'](
          { err: failure, code: codeOf(failure), uploadId, requestId: requestIdOf(request) },
          'the body of a creation could not be stored to its end; the client was told where to go on',
        ),
    },
    relay,
    new RelayStore(
      { client: s3.storage.client, bucket: s3.bucket, uploadExpiresSecs: config.uploadExpiresSecs },
      relay,
      storage,
      () => parts.sweeper.expireOverdue(),
    ),
    locker,
  );
  const app = createExpressApp({
    logger,
    readiness,
    tus,
    trustProxy: config.trustProxy,
    ...{ hosts, origins },
    publicConfig: { tusEndpoint: config.basePath, maxUploadBytes: config.maxUploadBytes },
    files: fileRoutes({
      files,
      downloads,
      deleteFile: (fileId) => deleteFile(relay, fileId),
      publicUrlBase: config.publicUrlBase,
    }),
    events: events.handle,
    requestMetrics: metrics.http,
    metrics: tellMetrics(from.shareMetrics?.(metrics.registry) ?? metrics.registry, {
      token: secrets.metricsToken,
      behindProxy: config.trustProxy !== false,
    }),
    page: pageRoutes(PAGE_FOLDER, config.publicUrlBase),
  });
  const http = await listen(app, config.host, config.port, config.idleBodySecs * 1_000);
  const graceMs = config.drainSecs * 1_000;
  opened.defer(async () => {
    readiness.startDraining();
    http.stopAccepting();
    events.close();
    const until = performance.now() + graceMs;
    const lastDownload = setTimeout(() => downloads.cut(), graceMs);
    await tus.drain(graceMs);
    // A client that is asking for its offset at this moment still gets its answer.
    if (!(await http.close(Math.max(LAST_ANSWERS_MS, until - performance.now()))))
      logger.warn('requests that did not end in time were cut');
    clearTimeout(lastDownload);
  });
  await parts.startJobs();

  const [origin, ...otherOrigins] = originsOf(http.address, networkInterfaces());
  const running = opened.move();
  return {
    port: http.address.port,
    dataDir: keepsData ? config.dataDir : null,
    addresses: {
      page: `${origin}/`,
      otherPages: otherOrigins.map((other) => `${other}/`),
      tus: `${origin}${config.basePath}`,
      s3: s3.address,
      embeddedS3: s3.embedded,
      database: database.kind === 'pglite' ? 'PGlite (embedded Postgres)' : 'Postgres',
    },
    close: () => running.disposeAsync(),
  };
}

/** @returns false when there is nothing of the kind (any more) */
async function deleteFile(relay: RelayParts['relay'], fileId: string): Promise<boolean> {
  try {
    await relay.terminate(fileId);
    return true;
  } catch (error) {
    if (error instanceof UploadGoneError || error instanceof UploadNotFoundError) return false;
    throw error;
  }
}

function changeTeller(watch: ServiceWatch): (problem: unknown) => void {
  return (problem) => {
    if (problem === null) watch.found();
    else watch.lost({ err: problem });
  };
}

/** Each call to S3 tells whether S3 is there. */
function watchedBy(watch: ServiceWatch, observer: S3CallObserver): S3CallObserver {
  return {
    observe(operation, outcome, seconds) {
      observer.observe(operation, outcome, seconds);
      if (outcome === 'retryable') watch.failed({ operation });
      else if (outcome !== 'aborted') watch.found();
    },
    sent: (operation, bytes) => observer.sent(operation, bytes),
  };
}

/** @returns null where there can be none: everything works without, but the commands beside the server */
async function openControl(
  dataDir: string,
  { runSweep, operations }: RelayParts,
  logger: Logger,
): Promise<ControlSocket | null> {
  try {
    return await openControlSocket({ dataDir, sweep: runSweep, operations });
  } catch (error) {
    logger.warn({ err: error }, 'commands like `npm run sweep` cannot reach this server: it has no control socket');
    return null;
  }
}

function codeOf(error: unknown): string {
  return error instanceof RelayError ? error.code : 'internal_error';
}

/** Express hangs the response on its request. */
function requestIdOf(request: IncomingMessage & { res?: ServerResponse }): unknown {
  return request.res?.getHeader('x-request-id');
}
