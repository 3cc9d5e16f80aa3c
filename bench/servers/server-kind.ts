import type { SentUpload } from '../load/load.ts';
import type { PostgresService } from '../services/postgres.ts';
import type { S3Service } from '../services/s3-service.ts';
import type { Workshop } from '../services/workshop.ts';

/** One of the servers that are compared. */
export interface ServerKind {
  /** What `--server` takes. */
  readonly name: string;
  /**
   * @param postgres null: not installed
   * @returns null when the server cannot be had on this machine
   */
  prepare(postgres: PostgresService | null): Promise<Preparation | null>;
}

export interface Preparation {
  /** As the report names it: with its version, and the database that it works on. */
  readonly title: string;
  start(site: Site): Promise<RunningServer>;
}

/** What a server is given. */
export interface Site {
  readonly workshop: Workshop;
  readonly bucket: string;
  /** Its endpoint may be that of a proxy which counts the requests. */
  readonly s3: S3Service;
  /** null: not installed. */
  readonly postgres: PostgresService | null;
  readonly settings: Settings;
}

/** What can be asked of our own server. */
export interface Settings {
  readonly signsPayloads: boolean;
  /** Bytes for part buffers; null: its default. */
  readonly bufferBytes: number | null;
  /** Further variables of its environment. */
  readonly variables: Readonly<Record<string, string>>;
  /** Where a CPU profile is written when it ends; null: no profile. */
  readonly profileFolder: string | null;
}

export interface RunningServer {
  /** Of tus, absolute. */
  readonly endpoint: string;
  readonly pid: number;
  /** Of the database server that it uses, when that is not in its own process tree. */
  readonly databasePid: number | null;
  /** @returns the keys of the objects which, one behind the other, are the upload's bytes */
  objectKeysOf(upload: SentUpload): Promise<string[]>;
  /** What it wrote last. */
  lastLines(): readonly string[];
  stop(): Promise<void>;
}

/** The variables by which our server and the baselines in Node are told where to store. */
export function s3Environment({ bucket, s3 }: Site): Record<string, string> {
  return {
    S3_BUCKET: bucket,
    S3_ENDPOINT: s3.endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
  };
}

export function lastSegmentOf(url: string): string {
  return new URL(url).pathname.split('/').at(-1) ?? '';
}
