/** Which S3 the server works with: the operator's bucket, or the embedded development server. */
import { join } from 'node:path';
import type { Config, S3Credentials, S3Target, Secrets } from '../config.ts';
import { loadOrCreateCredentials } from '../dev-s3/credentials.ts';
import { type DevS3, startDevS3 } from '../dev-s3/dev-s3-server.ts';
import { StartError } from '../errors.ts';
import type { Logger } from '../observability/logger.ts';
import { type BucketToCheck, checkBucket, createBucketIfMissing, waitForBucket } from '../s3/check-bucket.ts';
import { findMissingPermissions } from '../s3/check-permissions.ts';
import type { S3Settings } from '../s3/s3-client.ts';
import { S3ObjectStorage } from '../s3/s3-object-storage.ts';

const EMBEDDED_BUCKET = 'tus-relay';
/** Not under `uploads/`, where a deep sweep would wonder about it. */
const START_CHECK_KEY = '.tus-relay-start';
const EMBEDDED_REGION = 'us-east-1';
/** Calls to S3 at one time, of all uploads of a node; more wait for a connection. Downloads have their own. */
const MAX_S3_CONNECTIONS = 256;

/** What S3's clock may be ahead or behind without a word. */
const TOLD_OFFSET_MS = 60_000;

type ExternalTarget = Extract<S3Target, { kind: 'external' }>;

export interface OpenedStorage {
  readonly storage: S3ObjectStorage;
  readonly bucket: string;
  readonly settings: S3Settings;
  /** For the operator: URL of the service, or which bucket of which region. */
  readonly address: string;
  /** null: a bucket of the operator's own. */
  readonly embedded: (S3Credentials & { bucket: string }) | null;
  /** Rejects when the bucket cannot be used now. */
  check(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** @throws StartError with one sentence about what is wrong */
export async function openStorage(config: Config, secrets: Secrets, logger: Logger): Promise<OpenedStorage> {
  if (config.s3.kind === 'embedded') return openEmbedded(config, config.s3.port, logger);
  return openExternal(config, config.s3, secrets.s3Credentials, logger);
}

async function openEmbedded(config: Config, port: number, logger: Logger): Promise<OpenedStorage> {
  const dataDir = join(config.dataDir, 's3');
  const credentials = loadOrCreateCredentials(dataDir);
  const server = await startDevS3({
    ...{ port, dataDir, credentials, region: EMBEDDED_REGION },
    log: (message, error) => logger.error({ err: error }, message),
  });
  logger.info({ url: server.url }, 'the embedded S3 server is running: for development only');
  try {
    const opened = connect({
      bucket: EMBEDDED_BUCKET,
      endpoint: server.url,
      region: EMBEDDED_REGION,
      forcePathStyle: true,
      credentials,
      payloadSigning: 'auto',
      maxSockets: MAX_S3_CONNECTIONS,
      maxDownloadSockets: config.maxDownloads,
    });
    await createBucketIfMissing(opened.storage.client, EMBEDDED_BUCKET);
    return {
      ...opened,
      address: server.url,
      embedded: { ...credentials, bucket: EMBEDDED_BUCKET },
      close: () => closeEmbedded(opened.storage, server),
    };
  } catch (error) {
    await server.close();
    throw error;
  }
}

async function closeEmbedded(storage: S3ObjectStorage, server: DevS3): Promise<void> {
  storage.close();
  await server.close();
}

async function openExternal(
  { startWaitSecs, s3KeyPrefix, maxDownloads }: Config,
  target: ExternalTarget,
  credentials: S3Credentials | null,
  logger: Logger,
): Promise<OpenedStorage> {
  const opened = connect({ ...externalSettings(target, credentials), maxDownloadSockets: maxDownloads });
  try {
    await waitForBucket(opened.storage.client, bucketToCheck(opened.settings), startWaitSecs * 1_000);
    warnOfClock(opened.storage.clockOffsetMs, logger);
    await assertPermissions(opened.storage, target.bucket, `${s3KeyPrefix}${START_CHECK_KEY}`, logger);
  } catch (error) {
    await opened.close();
    throw error;
  }
  const where = target.endpoint ?? `AWS ${target.region}`;
  return { ...opened, address: `bucket ${target.bucket} at ${where}`, embedded: null };
}

/** Other things on this machine may be confused by it; uploads are not. */
function warnOfClock(offsetMs: number, logger: Logger): void {
  if (Math.abs(offsetMs) < TOLD_OFFSET_MS) return;
  const offsetSecs = Math.round(offsetMs / 1_000);
  logger.warn({ offsetSecs }, 'the clock of this machine is not that of S3: requests are signed for the clock of S3');
}

/** @throws StartError where nothing could be stored; what else is denied is told, since uploads go on without it */
async function assertPermissions(storage: S3ObjectStorage, bucket: string, key: string, logger: Logger): Promise<void> {
  const missing = await findMissingPermissions(storage, key);
  if (missing.length === 0) return;
  const what = `Our credentials may not do everything on bucket "${bucket}": ${missing.join(', ')}`;
  if (missing.includes('s3:PutObject')) {
    throw new StartError(`${what}. Allow it; "npm run s3:check" tries everything that is needed.`);
  }
  logger.error({ missing }, `${what}; uploads or their cleaning up will fail: "npm run s3:check" tells more`);
}

export function externalSettings(target: ExternalTarget, credentials: S3Credentials | null): S3Settings {
  return {
    bucket: target.bucket,
    region: target.region,
    forcePathStyle: target.forcePathStyle,
    payloadSigning: target.payloadSigning,
    maxSockets: MAX_S3_CONNECTIONS,
    ...(target.endpoint === null ? {} : { endpoint: target.endpoint }),
    ...(credentials === null ? {} : { credentials }),
  };
}

function connect(settings: S3Settings) {
  const storage = new S3ObjectStorage(settings);
  return {
    storage,
    settings,
    bucket: settings.bucket,
    async check(signal: AbortSignal): Promise<void> {
      const problem = await checkBucket(storage.client, bucketToCheck(settings), signal);
      if (problem !== null) throw new Error(problem.message);
    },
    async close(): Promise<void> {
      storage.close();
    },
  };
}

function bucketToCheck({ bucket, region, endpoint }: S3Settings): BucketToCheck {
  return { bucket, region, ...(endpoint === undefined ? {} : { endpoint }) };
}
