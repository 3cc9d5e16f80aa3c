/** The composition root: opens everything in order, closes it in reverse. The only module that sees all the others. */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type DataDirLock, lockDataDir } from './catalog/data-dir-lock.ts';
import type { Database } from './catalog/database.ts';
import { DiscardCatalog } from './catalog/discard-catalog.ts';
import { FileCatalog } from './catalog/file-catalog.ts';
import { openPglite } from './catalog/pglite.ts';
import { openPostgres } from './catalog/postgres.ts';
import { UploadCatalog } from './catalog/upload-catalog.ts';
import type { Config, S3Credentials, Secrets } from './config.ts';
import { loadOrCreateCredentials } from './dev-s3/credentials.ts';
import { startDevS3 } from './dev-s3/dev-s3-server.ts';
import { StartError, UnavailableError } from './errors.ts';
import { EventStream } from './http/events-route.ts';
import { createExpressApp } from './http/express-app.ts';
import { describeFile } from './http/file-json.ts';
import { fileRoutes } from './http/file-routes.ts';
import { Readiness } from './http/health.ts';
import { type HttpServer, listen } from './http/http-server.ts';
import { pageRoutes } from './http/page.ts';
import { trustedProxies } from './http/trust-proxy.ts';
import { downloadUpload } from './http/upload-download.ts';
import { MemoryLocker } from './locks/memory-locker.ts';
import type { Logger } from './observability/logger.ts';
import { recordFinished } from './pipeline/finish.ts';
import { createJobQueue, type JobQueue } from './pipeline/job-queue.ts';
import { MemoryEventBus } from './pipeline/memory-event-bus.ts';
import { QUEUES } from './pipeline/queues.ts';
import { systemClock } from './relay/clock.ts';
import { UploadCompleter } from './relay/complete-upload.ts';
import { enqueueCompletion, runCompletionJob } from './relay/completion-job.ts';
import { DiscardWorker } from './relay/discard-worker.ts';
import { UploadGoneError, UploadNotFoundError } from './relay/relay-errors.ts';
import { RelayStore } from './relay/relay-store.ts';
import { Sweeper } from './relay/sweep.ts';
import type { EndOfBytes } from './relay/upload-ledger.ts';
import { UploadRelay } from './relay/upload-relay.ts';
import { type BucketToCheck, checkBucket, createBucketIfMissing, waitForBucket } from './s3/check-bucket.ts';
import { S3ObjectStorage } from './s3/s3-object-storage.ts';
import { TusServer } from './tus/tus-server.ts';

/** Where to find what runs, as the operator wants to read it. */
export interface Addresses {
  page: string;
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
