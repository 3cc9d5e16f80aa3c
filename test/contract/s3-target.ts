/** The S3 server that the contract suite talks to: where it is, and in what it is known to differ from others. */
import { randomUUID } from 'node:crypto';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { Client as MinioClient } from 'minio';

export interface S3Target {
  endpoint: string;
  region: string;
  credentials: { accessKeyId: string; secretAccessKey: string };
  /** Made by the suite when it is missing. */
  bucket: string;
  profile: S3Profile;
}

/** Differences between servers that all call themselves S3: what is checked is what each is known to do. */
export interface S3Profile {
  /** A Complete of an upload that is complete already. */
  secondComplete: 'same-etag' | 'no-such-upload';
  /** Whether ListMultipartUploads finds uploads by a prefix, or by their exact key only. */
  listsUploadsByPrefix: boolean;
  /** Whether it takes CORS rules for a bucket. */
  bucketCors: boolean;
  /** Whether a page on any origin may use a presigned URL of a bucket without rules. */
  openCors: boolean;
  /** Whether Abort says NoSuchUpload for an upload that is gone. */
  abortKnowsMissing: boolean;
  /** Whether parts of a FULL_OBJECT checksum and checksums in trailers are verified. */
  checksums: boolean;
  /** Whether If-None-Match and If-Match of writes are heeded. */
  conditionalWrites: boolean;
  /** Whether a bad aws-chunked signature of a later chunk is noticed. */
  verifiesChunks: boolean;
}

/** What AWS does, as far as its documentation says. */
export const FULL_PROFILE: S3Profile = {
  secondComplete: 'same-etag',
  listsUploadsByPrefix: true,
  bucketCors: true,
  openCors: true,
  abortKnowsMissing: true,
  checksums: true,
  conditionalWrites: true,
  verifiesChunks: true,
};

/** Without retries: an error is to be seen, not repeated away. */
export function sdkClient(target: S3Target, settings: Partial<S3ClientConfig> = {}): S3Client {
  return new S3Client({
    endpoint: target.endpoint,
    region: target.region,
    credentials: target.credentials,
    forcePathStyle: true,
    maxAttempts: 1,
    ...settings,
  });
}

export function minioClient(target: S3Target): MinioClient {
  const url = new URL(target.endpoint);
  return new MinioClient({
    endPoint: url.hostname,
    port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
    useSSL: url.protocol === 'https:',
    region: target.region,
    partSize: 5 * 1024 * 1024, // the least: a few megabytes are several parts
    accessKey: target.credentials.accessKeyId,
    secretKey: target.credentials.secretAccessKey,
  });
}

/** A place of its own for each test. */
export function freshPrefix(): string {
  return `contract/${randomUUID()}/`;
}
