import { HeadObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';

/** Where and as whom the requests to one bucket go: what the SDK's endpoint rules make of the settings. */
export interface BucketAddress {
  secure: boolean;
  /** Without the brackets of an IPv6 address. */
  hostname: string;
  port: number | undefined;
  /** The Host header. */
  host: string;
  /** Path in front of an encoded key; begins and ends with a slash. */
  basePath: string;
  signingRegion: string;
  signingService: string;
}

/**
 * Has the SDK presign a request and reads the URL, so that a hand-made request goes exactly where the client's own
 * would: virtual-host or path style, endpoints from the environment, other partitions, access points.
 *
 * @throws what the credential provider throws
 */
export async function findBucketAddress(client: S3Client, bucket: string): Promise<BucketAddress> {
  const key = 'x';
  const url = new URL(await getSignedUrl(client, new HeadObjectCommand({ Bucket: bucket, Key: key })));
  const algorithm = url.searchParams.get('X-Amz-Algorithm');
  const [, , signingRegion, signingService] = (url.searchParams.get('X-Amz-Credential') ?? '').split('/');
  if (
    algorithm !== 'AWS4-HMAC-SHA256' ||
    signingRegion === undefined ||
    signingService === undefined ||
    url.searchParams.has('X-Amz-S3session-Token')
  ) {
    // Multi-region access points and directory buckets: their signatures are other ones.
    throw new Error(`bucket ${bucket} asks for another signature than version 4`);
  }
  return {
    secure: url.protocol === 'https:',
    hostname: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? undefined : Number(url.port),
    host: url.host,
    basePath: url.pathname.slice(0, -key.length),
    signingRegion,
    signingService,
  };
}

/** Traffic that never leaves the machine. */
export function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '::1' ||
    /^127(\.\d+){3}$/.test(hostname)
  );
}
