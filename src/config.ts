/**
 * Environment → configuration and secrets, read once at the start. {@link variables} is the one list of what can be
 * set; the table in the README is made from it (`node scripts/config-table.ts`).
 */
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { EMBEDDED_BUCKET, findContradictions, findWarnings } from './config-checks.ts';
import {
  type AllowedHosts,
  type AllowedOrigins,
  basePath,
  byteCount,
  flag,
  GIB,
  hosts,
  httpUrl,
  keyPrefix,
  MIB,
  oneOf,
  origins,
  postgresUrl,
  redisUrl,
  type TrustProxy,
  text,
  trustProxy,
  wholeNumber,
} from './config-values.ts';
import { StartError } from './errors.ts';
import { addressesByPath, PROVIDER_NAMES, type ProviderName, providerProfile } from './provider-profiles.ts';

export interface Config {
  readonly host: string;
  /** 0: the system chooses. */
  readonly port: number;
  /** Absolute path. */
  readonly dataDir: string;
  /** Where the tus endpoint is: starts with a slash, ends without. */
  readonly basePath: string;
  readonly trustProxy: TrustProxy;
  readonly corsOrigins: AllowedOrigins;
  /** null: loopback names where `host` is of this machine only, else any. */
  readonly allowedHosts: AllowedHosts | null;
  /** What stands before an object key in a file's public URL, without a slash at the end; null: our own routes. */
  readonly publicUrlBase: string | null;
  readonly s3: S3Target;
  /** Empty, or ending in a slash. */
  readonly s3KeyPrefix: string;
  readonly s3MaxParts: number;
  readonly s3CallSecs: number;
  readonly maxUploadBytes: number;
  /** What decoding an image for its thumbnails may take. */
  readonly imageBytes: number;
  readonly partBytes: number;
  /** Processes that serve, each a node of its own on the one port; 1: this process serves. */
  readonly workers: number;
  /** Memory budget of part buffers, of this process: the worker's share where there are several. */
  readonly bufferBytes: number;
  /** Absolute path. */
  readonly spillDir: string;
  /** Most bytes of this process in it; null: what its disk leaves. */
  readonly spillBytes: number | null;
  readonly uploadExpiresSecs: number;
  readonly completionRefusedSecs: number;
  readonly discardRecheckSecs: number;
  readonly idleBodySecs: number;
  /** Of this process, each worker's own. */
  readonly maxDownloads: number;
  /** Most readers of live events, of this process. */
  readonly maxEventReaders: number;
  readonly drainSecs: number;
  readonly startWaitSecs: number;
  readonly logLevel: LogLevel;
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export type S3Target =
  | { readonly kind: 'embedded' /** 0: the system chooses. */; readonly port: number }
  | {
      readonly kind: 'external';
      readonly bucket: string;
      readonly profile: ProviderName;
      /** null: AWS itself, found by region. */
      readonly endpoint: string | null;
      readonly region: string;
      readonly forcePathStyle: boolean;
      readonly payloadSigning: 'auto' | 'signed' | 'unsigned';
    };

/** Apart from the configuration, so that this can be logged and that cannot. */
export interface Secrets {
  /** null: PGlite in the data folder. */
  readonly databaseUrl: string | null;
  /** null: a lock in memory. */
  readonly redisUrl: string | null;
  /** null: metrics are for the server's own machine. */
  readonly metricsToken: string | null;
  /** null: the SDK's usual chain (profile, role). */
  readonly s3Credentials: S3Credentials | null;
}

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const MAX_SECS = 366 * 86_400;
/** A minute since the last look, 30 minutes of a signature that was dated 15 minutes ahead, and 10 of the call; and more. */
const MIN_RECHECK_SECS = 3_000;
/** For each process: room for a part, and for a merge beside it. */
const MIN_BUFFER_BYTES = 16 * MIB;

/** Every variable that this version knows: how to read it, its default as one would write it, what it is for. */
export const variables = {
  HOST: variable(hostName(), '127.0.0.1', 'Address to listen on; `0.0.0.0` for every one of the machine.'),
  PORT: variable(wholeNumber(0, 65_535), '8080', 'Port of the page, the API and the tus endpoint; 0 takes a free one.'),
  DATA_DIR: variable(z.string(), '.data', 'Folder of the embedded database and the embedded S3. One server at a time.'),
  BASE_PATH: variable(basePath(), '/files', 'Path of the tus endpoint.'),
  TRUST_PROXY: variable(
    trustProxy(),
    'false',
    'Which proxies in front may say how a client reached us (`X-Forwarded-*`): `true`, `false`, how many there are, or their addresses.',
  ),
  CORS_ORIGINS: optional(
    origins(),
    'Pages of other origins that may use the server: a list with commas, or `*` for every page of the web. Unset: pages on the user’s own machine (`http://localhost:3000`).',
  ),
  ALLOWED_HOSTS: optional(
    hosts(),
    'Names by which clients reach the server, with commas; `*` for any. Unset: any, but with `HOST` on this machine only `localhost`, `127.0.0.1` and the like.',
  ),
  PUBLIC_URL_BASE: optional(
    httpUrl(),
    'URL of a CDN in front of the bucket: file URLs are this, a slash and the object key.',
  ),
  S3_BUCKET: optional(
    bucketName(),
    'Bucket to store in. `embedded`: the embedded S3 server, for development only. Unset: the same, but it is refused beside `DATABASE_URL`, `REDIS_URL`, or a `HOST` that other machines reach.',
  ),
  S3_ENDPOINT: optional(httpUrl(), 'URL of an S3-compatible service. Unset: AWS, found by region.'),
  S3_KEY_PREFIX: optional(keyPrefix(), 'Goes before every object key, as a folder.'),
  S3_PROFILE: variable(
    oneOf(...PROVIDER_NAMES),
    'generic',
    `Which service it is, for what the variables below leave open: ${PROVIDER_NAMES.map((name) => `\`${name}\``).join(', ')}.`,
  ),
  S3_FORCE_PATH_STYLE: optional(
    flag(),
    '`endpoint/bucket` instead of `bucket.endpoint`. Unset: as the profile says; `generic`: with `S3_ENDPOINT`.',
  ),
  S3_MAX_PARTS: optional(
    wholeNumber(1, 10_000),
    'Most parts the service allows in one object. Unset: as the profile says, 10000 or 1000; `generic`: 10000.',
  ),
  S3_CALL_SECS: variable(
    wholeNumber(1, 3_600),
    '90',
    'How long a request waits for a call to S3 of which nothing moves, repetitions included; then it is answered with 503.',
  ),
  S3_PAYLOAD_SIGNING: variable(
    oneOf('auto', 'signed', 'unsigned'),
    'auto',
    'Whether payloads are signed; `auto`: only over plain HTTP to another machine.',
  ),
  AWS_REGION: variable(
    text('a region like eu-central-1', matching(/^[a-z0-9-]+$/i)),
    'us-east-1',
    'Region of the bucket.',
  ),
  AWS_ACCESS_KEY_ID: secret(z.string(), 'Credentials for `S3_BUCKET`. Unset: what the AWS SDK finds (profile, role).'),
  AWS_SECRET_ACCESS_KEY: secret(z.string(), 'Goes with `AWS_ACCESS_KEY_ID`.'),
  AWS_SESSION_TOKEN: secret(z.string(), 'Goes with temporary credentials.'),
  DEV_S3_PORT: variable(
    wholeNumber(0, 65_535),
    '8090',
    'Port of the embedded S3 server on 127.0.0.1; 0 takes a free one.',
  ),
  DATABASE_URL: secret(
    postgresUrl(),
    'Postgres, `postgres://user:password@host/database`. Unset: PGlite in `DATA_DIR`.',
  ),
  REDIS_URL: secret(
    redisUrl(),
    'Redis, `redis://user:password@host:6379`, through which nodes wait for one another. Unset: they do so through Postgres, where it is given.',
  ),
  MAX_UPLOAD_BYTES: variable(byteCount(1, 50_000 * GIB), '5TiB', 'Largest upload that is accepted.'),
  IMAGE_BYTES: variable(
    byteCount(MIB, 64 * GIB),
    '256MiB',
    'Largest image, decoded (width × height × channels × bytes of a channel; docs/operations.md), that thumbnails are made of.',
  ),
  PART_BYTES: variable(
    byteCount(5 * MIB, 5 * GIB, MIB),
    '8MiB',
    'Size of the parts that an upload is stored in; larger where a file would need more than `S3_MAX_PARTS`.',
  ),
  WORKERS: variable(
    wholeNumber(1, 256),
    '1',
    'Processes that serve the port, to use more cores. More than one needs `S3_BUCKET` and `DATABASE_URL`; each takes its share of `BUFFER_BYTES`.',
  ),
  BUFFER_BYTES: variable(
    byteCount(MIN_BUFFER_BYTES, 1024 * GIB),
    '256MiB',
    'Memory for the bytes of all uploads together, before they are in S3. What needs more goes to files in `SPILL_DIR`.',
  ),
  SPILL_DIR: optional(
    z.string(),
    'Folder for what does not fit into `BUFFER_BYTES`; those files are never seen, and gone with the process. Unset: `spill` in `DATA_DIR`.',
  ),
  SPILL_BYTES: optional(
    byteCount(0, 1024 * 1024 * GIB),
    'Most bytes in `SPILL_DIR`, divided among `WORKERS`. Unset: so much that a tenth of its disk, and 1 GiB at least, stays free.',
  ),
  UPLOAD_EXPIRES_SECS: variable(
    wholeNumber(1, MAX_SECS),
    '86400',
    'An unfinished upload that nobody continues is removed after this.',
  ),
  COMPLETION_REFUSED_SECS: variable(
    wholeNumber(60, MAX_SECS),
    '86400',
    'An upload whose parts S3 refuses to put together, at every try and for so long, is given up: its client begins anew.',
  ),
  DISCARD_RECHECK_SECS: variable(
    wholeNumber(MIN_RECHECK_SECS, MAX_SECS),
    String(MIN_RECHECK_SECS),
    'What was removed from the bucket is looked at once more after this, where a late request could have brought it back. At least 3000: longer than S3 accepts a signed request, on clocks that are as far off as it allows, plus the longest call.',
  ),
  IDLE_BODY_SECS: variable(
    wholeNumber(1, 86_400),
    '30',
    'A request whose body falls silent for so long is ended, and what arrived is kept; so is an answer of which the client takes nothing for so long.',
  ),
  MAX_DOWNLOADS: variable(
    wholeNumber(1, 65_536),
    '256',
    'Downloads at the same time, for each process; more are answered with 503. Each has a connection to S3, apart from those of uploads.',
  ),
  MAX_EVENT_READERS: variable(
    wholeNumber(1, 100_000),
    '1000',
    'Most readers of live events (`GET /api/events`) that a process has at one time; each open page is one.',
  ),
  DRAIN_SECS: variable(
    wholeNumber(0, 3_600),
    '10',
    'At shutdown, how long running requests and downloads may go on; then what uploads hold is stored, for which S3 gets five seconds.',
  ),
  START_WAIT_SECS: variable(wholeNumber(0, 3_600), '10', 'How long a start tries its services before it gives up.'),
  METRICS_TOKEN: secret(
    text('16 to 256 printable characters without spaces', matching(/^[\x21-\x7e]{16,256}$/)),
    'Who asks for `/metrics` sends it as a bearer token. Unset: only programs on this machine may ask, and nobody while `TRUST_PROXY` is set.',
  ),
  LOG_LEVEL: variable(
    oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    'info',
    'Least severe level that is logged.',
  ),
};

export interface LoadedConfig {
  readonly config: Config;
  readonly secrets: Secrets;
  /** Sentences for the operator about what can be used and was perhaps not meant so. */
  readonly warnings: readonly string[];
}

/**
 * @param env usually `process.env`; an empty value counts as unset
 * @throws ConfigError naming every bad variable at once
 */
export function loadConfig(env: Environment): LoadedConfig {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value?.trim())) as Record<string, string>;
  const parsed = z.object(variables).safeParse(given);
  const known = Object.keys(variables);
  const problems = [...findContradictions(given, known), ...(parsed.success ? workerProblems(parsed.data) : [])];
  for (const issue of parsed.error?.issues ?? []) {
    const name = String(issue.path[0]) as keyof typeof variables;
    const found = variables[name].meta()?.secret
      ? 'found something else (not shown: it is a secret)'
      : `found ${JSON.stringify(given[name])}`;
    problems.push(`${name}: expected ${issue.message}, ${found}`);
  }
  if (problems.length > 0 || parsed.data === undefined) throw new ConfigError(problems);
  return { ...assemble(parsed.data), warnings: findWarnings(given, known) };
}

/** Its message has a line for each bad variable. */
export class ConfigError extends StartError {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`the configuration is not usable:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

type Values = z.output<z.ZodObject<typeof variables>>;

function assemble(values: Values): { config: Config; secrets: Secrets } {
  const {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: sessionToken,
  } = values;
  const profile = providerProfile(values.S3_PROFILE);
  const s3: S3Target =
    values.S3_BUCKET === undefined || values.S3_BUCKET === EMBEDDED_BUCKET
      ? { kind: 'embedded', port: values.DEV_S3_PORT }
      : {
          kind: 'external',
          bucket: values.S3_BUCKET,
          profile: values.S3_PROFILE,
          endpoint: values.S3_ENDPOINT ?? null,
          region: values.AWS_REGION,
          forcePathStyle: values.S3_FORCE_PATH_STYLE ?? addressesByPath(profile, values.S3_ENDPOINT !== undefined),
          payloadSigning: values.S3_PAYLOAD_SIGNING,
        };
  return {
    config: {
      host: values.HOST,
      port: values.PORT,
      dataDir: resolve(values.DATA_DIR),
      basePath: values.BASE_PATH,
      trustProxy: values.TRUST_PROXY,
      corsOrigins: values.CORS_ORIGINS ?? 'local',
      allowedHosts: values.ALLOWED_HOSTS ?? null,
      publicUrlBase: values.PUBLIC_URL_BASE ?? null,
      s3,
      s3KeyPrefix: values.S3_KEY_PREFIX ?? '',
      s3CallSecs: values.S3_CALL_SECS,
      s3MaxParts: values.S3_MAX_PARTS ?? profile.maxParts,
      maxUploadBytes: values.MAX_UPLOAD_BYTES,
      imageBytes: values.IMAGE_BYTES,
      partBytes: values.PART_BYTES,
      workers: values.WORKERS,
      bufferBytes: Math.floor(values.BUFFER_BYTES / values.WORKERS),
      spillDir: resolve(values.SPILL_DIR ?? join(values.DATA_DIR, 'spill')),
      spillBytes: values.SPILL_BYTES === undefined ? null : Math.floor(values.SPILL_BYTES / values.WORKERS),
      uploadExpiresSecs: values.UPLOAD_EXPIRES_SECS,
      completionRefusedSecs: values.COMPLETION_REFUSED_SECS,
      discardRecheckSecs: values.DISCARD_RECHECK_SECS,
      idleBodySecs: values.IDLE_BODY_SECS,
      maxDownloads: values.MAX_DOWNLOADS,
      maxEventReaders: values.MAX_EVENT_READERS,
      drainSecs: values.DRAIN_SECS,
      startWaitSecs: values.START_WAIT_SECS,
      logLevel: values.LOG_LEVEL,
    },
    secrets: {
      databaseUrl: values.DATABASE_URL ?? null,
      redisUrl: values.REDIS_URL ?? null,
      metricsToken: values.METRICS_TOKEN ?? null,
      // Where the embedded S3 is used, the machine's AWS account is nobody's business.
      s3Credentials:
        s3.kind === 'external' && accessKeyId !== undefined && secretAccessKey !== undefined
          ? { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) }
          : null,
    },
  };
}

/** What is embedded lives in one process: two of them would harm the data folder. */
const NEEDED_BY_WORKERS = {
  S3_BUCKET: 'the embedded S3',
  DATABASE_URL: 'the embedded database',
} as const;

function workerProblems(values: Values): string[] {
  if (values.WORKERS === 1) return [];
  const found = Object.entries(NEEDED_BY_WORKERS)
    .filter(([name]) => [undefined, EMBEDDED_BUCKET].includes(values[name as keyof typeof NEEDED_BY_WORKERS]))
    .map(
      ([name, embedded]) =>
        `WORKERS: expected ${name} to be set with more than one worker, found nothing: ${embedded} belongs to one process`,
    );
  if (values.BUFFER_BYTES < values.WORKERS * MIN_BUFFER_BYTES) {
    found.push(
      `BUFFER_BYTES: expected at least ${MIN_BUFFER_BYTES / MIB} MiB for each of ${values.WORKERS} workers, found ${values.BUFFER_BYTES / MIB} MiB for all`,
    );
  }
  return found;
}

function hostName() {
  return text('a host name or an IP address', matching(/^[A-Za-z0-9.:_-]+$/));
}

function bucketName() {
  return text(
    'a bucket name: 3 to 63 small letters, digits, dots and dashes',
    matching(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/),
  );
}

function matching(pattern: RegExp): (value: string) => string | undefined {
  return (value) => (pattern.test(value) ? value : undefined);
}

function variable<T extends z.ZodType<unknown, string>>(type: T, preset: z.input<T>, about: string) {
  return type.prefault(preset as never).meta({ preset, about });
}

function optional<T extends z.ZodType<unknown, string>>(type: T, about: string) {
  return type.optional().meta({ about });
}

function secret<T extends z.ZodType<unknown, string>>(type: T, about: string) {
  return type.optional().meta({ about, secret: true });
}
