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

/** Where servers that all call themselves S3 part ways. What is not listed for a server, it has to do like AWS. */
export type S3Difference =
  /** A second Complete says NoSuchUpload instead of the first one's ETag. */
  | 'complete-once'
  /** ListMultipartUploads finds uploads by their exact key only. */
  | 'uploads-by-exact-key'
  /** Uploads of one key do not go on in a second page. */
  | 'uploads-in-one-page'
  /** An abort of an upload that is gone, or never was, is a success. */
  | 'abort-of-anything'
  /** It takes no CORS rules for a bucket. */
  | 'no-bucket-cors'
  /** A bucket without CORS rules lets no page in. */
  | 'cors-closed'
  /** No object can have the name of another one's folder. */
  | 'keys-are-paths'
  /** A signature for another region is as good. */
  | 'any-region'
  /** Headers that are not under the signature are heeded. */
  | 'unsigned-headers'
  /** A presigned URL may be used before its time. */
  | 'early-presigned'
  /** An access key that it does not know has an error code of its own. */
  | 'other-unknown-key'
  /** `aws-chunked` is kept as the object's Content-Encoding. */
  | 'keeps-aws-chunked'
  /** What the first object under a key had as metadata stays with the second (versitygw, with metadata in files). */
  | 'keeps-old-metadata'
  /** Quiet of a batch delete is not heeded. */
  | 'never-quiet'
  /** `encoding-type=url` of a list is not heeded. */
  | 'no-encoding-type'
  /** A copy whose If-None-Match does not hold is a 304. */
  | 'copy-not-modified'
  /** Refused part numbers have another error code. */
  | 'other-part-number-code';

export type S3Profile = ReadonlySet<S3Difference>;

/** By the name in `TEST_S3_PROFILE`. */
export const PROFILES: Readonly<Record<string, S3Profile>> = {
  aws: new Set<S3Difference>(['cors-closed']),
  minio: new Set<S3Difference>([
    ...(['complete-once', 'uploads-by-exact-key', 'abort-of-anything', 'no-bucket-cors', 'keys-are-paths'] as const),
    ...(['any-region', 'unsigned-headers', 'other-part-number-code'] as const),
  ]),
  versitygw: new Set<S3Difference>([
    ...(['uploads-in-one-page', 'cors-closed', 'keys-are-paths', 'early-presigned', 'other-unknown-key'] as const),
    ...(['keeps-old-metadata', 'keeps-aws-chunked', 'never-quiet', 'copy-not-modified', 'no-encoding-type'] as const),
  ]),
};

/** Without retries: an error is to be seen, not repeated away. */
export function sdkClient(target: S3Target, settings: Partial<S3ClientConfig> = {}): S3Client {
  return new S3Client({
    endpoint: target.endpoint,
    region: target.region,
    credentials: { ...target.credentials }, // the SDK writes into it
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
