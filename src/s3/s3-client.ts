import { getFips } from 'node:crypto';
import { S3 } from '@aws-sdk/client-s3';
import type { HttpTransport } from './http-transport.ts';
import { sdkRequestHandler } from './sdk-transport.ts';
import { ACCEPTED_SKEW_MS, type SigningClock } from './signing-clock.ts';

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
  /** Connections to S3 at the same time, downloads and probes apart; more calls wait for one. */
  maxSockets: number;
  /** Connections for downloads. Left out: as many as for the rest. */
  maxDownloadSockets?: number;
}

/**
 * @param transport what its requests go through; destroying the client closes it
 * @param clock which the transport's answers correct
 */
export function createS3Client(settings: S3Settings, transport: HttpTransport, clock: SigningClock): S3 {
  const client = new S3({
    region: settings.region,
    forcePathStyle: settings.forcePathStyle,
    ...(settings.endpoint === undefined ? {} : { endpoint: settings.endpoint }),
    ...(settings.credentials === undefined ? {} : { credentials: settings.credentials }),
    // The defaults (WHEN_SUPPORTED) add checksums that several S3-compatible services refuse.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // A hidden retry that succeeds would hide an attempt with an unknown outcome (design section 4, "Clean end").
    maxAttempts: 1,
    retryMode: 'standard',
    // Some services (R2) have no 100 Continue.
    expectContinueHeader: false,
    requestHandler: sdkRequestHandler(transport),
  });
  // The SDK believes any Date of any answer. One clock for its requests and the hand-made ones.
  Object.defineProperty(client.config, 'systemClockOffset', { get: () => clock.offsetMs, set: () => {} });
  // What only reads is signed once more when its refusal has shown that our clock was off: also where that has no body to
  // say so (HEAD). Writes are repeated by who sent them, and may have to look at the upload's row before.
  client.middlewareStack.add(
    (next) => async (args) => {
      const { method } = args.request as { method?: string };
      const offsetMs = clock.offsetMs;
      try {
        return await next(args);
      } catch (error) {
        const isRead = method === 'GET' || method === 'HEAD';
        if (!isRead || Math.abs(clock.offsetMs - offsetMs) < ACCEPTED_SKEW_MS) throw error;
        return await next(args);
      }
    },
    // The step before the one that signs.
    { step: 'build', priority: 'low', name: 'readAgainWhenClockWasOff' },
  );
  // Says MD5 beside the Content-MD5 of deleteChecksum(); services that know CRC only refuse the name.
  client.middlewareStack.add(
    (next, context) => (args) => {
      const { request } = args as { request: { headers: Record<string, string> } };
      if (context.commandName === 'DeleteObjectsCommand') delete request.headers['x-amz-sdk-checksum-algorithm'];
      return next(args);
    },
    { step: 'build', priority: 'low', name: 'dropChecksumAlgorithmOfDeleteObjects' },
  );
  return client;
}

/**
 * DeleteObjects must carry a checksum of its body. The SDK's choice, a CRC, is unknown to services (MinIO of some
 * years, Oracle, Alibaba, Backblaze) that all take Content-MD5, as AWS does. MD5 does not exist in FIPS mode.
 */
export function deleteChecksum(): { ChecksumAlgorithm?: 'MD5' } {
  return getFips() === 1 ? {} : { ChecksumAlgorithm: 'MD5' };
}
