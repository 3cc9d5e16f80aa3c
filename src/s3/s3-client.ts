import { S3Client } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';

export interface S3Settings {
  bucket: string;
  /** Left out: AWS itself, found by region. May have a path prefix. */
  endpoint?: string;
  region: string;
  /** `endpoint/bucket/key` instead of `bucket.endpoint/key`. */
  forcePathStyle: boolean;
  /** Left out: the SDK's usual chain (environment, profile, role). */
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
  /** auto: the payload is signed only where neither TLS nor a loopback protects it. */
  payloadSigning: 'auto' | 'signed' | 'unsigned';
  /** Connections to S3 at the same time; more calls wait for one. */
  maxSockets: number;
}

export function createS3Client(settings: S3Settings): S3Client {
  return new S3Client({
    region: settings.region,
    forcePathStyle: settings.forcePathStyle,
    ...(settings.endpoint === undefined ? {} : { endpoint: settings.endpoint }),
    ...(settings.credentials === undefined ? {} : { credentials: settings.credentials }),
    // The defaults (WHEN_SUPPORTED) add checksums that several S3-compatible services refuse.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // A hidden retry that succeeds would hide an attempt with an unknown outcome (design section 4, "Clean end").
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: 5_000,
      socketTimeout: 60_000,
      requestTimeout: 600_000,
      throwOnRequestTimeout: true,
      httpAgent: { maxSockets: settings.maxSockets },
      httpsAgent: { maxSockets: settings.maxSockets },
    }),
  });
}
