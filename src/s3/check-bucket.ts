/** The look at the bucket when the server starts: one clear sentence for each thing that can be wrong. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand, ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3';
import { StartError } from '../errors.ts';
import { TransportError } from './http-transport.ts';
import { errorOfThrown, S3Error } from './s3-errors.ts';
import { sdkOptions } from './sdk-answers.ts';
import { ACCEPTED_SKEW_MS } from './signing-clock.ts';

export type BucketProblemKind =
  | 'unreachable'
  | 'tls'
  | 'credentials'
  | 'clock'
  | 'missing'
  | 'region'
  | 'listing'
  | 'refused';

export interface BucketProblem {
  kind: BucketProblemKind;
  /** One sentence for the operator, without secrets. */
  message: string;
  /** It may pass by itself, as when the S3 server is still starting. */
  retry: boolean;
}

export interface BucketToCheck {
  bucket: string;
  region: string;
  endpoint?: string;
}

/**
 * Lists one key rather than sending HeadBucket: it takes the same permission, and its refusal has a body that says why.
 *
 * @returns null when the bucket is there and ours to use
 */
export async function checkBucket(
  client: S3Client,
  target: BucketToCheck,
  signal?: AbortSignal,
): Promise<BucketProblem | null> {
  const offsetMs = client.config.systemClockOffset;
  try {
    const answer = await client.send(
      new ListObjectsV2Command({ Bucket: target.bucket, MaxKeys: 1 }),
      sdkOptions({ pool: 'probes', ...(signal === undefined ? {} : { signal }) }),
    );
    if (answer.Name === undefined) throw new S3Error('ListObjectsV2', 'IncompleteAnswer', 200, 'unknown');
    return null;
  } catch (thrown) {
    return describeProblem(errorOfThrown('ListObjectsV2', thrown), target, {
      // What this answer has corrected; another refusal after that has another reason.
      clockOffMs: client.config.systemClockOffset - offsetMs,
      bucketRegion: headerOf(thrown, 'x-amz-bucket-region'),
    });
  }
}

/**
 * Asks until the bucket answers, for as long as the problem may pass by itself and `waitMs` lasts.
 *
 * @throws StartError with the last problem's sentence
 */
export async function waitForBucket(client: S3Client, target: BucketToCheck, waitMs: number): Promise<void> {
  const deadline = AbortSignal.timeout(waitMs);
  let lastProblem: BucketProblem | null = null;
  for (;;) {
    const problem = await checkBucket(client, target, deadline);
    if (problem === null) return;
    // What our own deadline cut short says less than what was found before it.
    if (!deadline.aborted || lastProblem === null) lastProblem = problem;
    if (deadline.aborted || !lastProblem.retry) throw new StartError(lastProblem.message);
    await sleep(RETRY_MS, undefined, { signal: deadline }).catch(() => {}); // the deadline is looked at above
    if (deadline.aborted) throw new StartError(lastProblem.message);
  }
}

const RETRY_MS = 500;

/** For the embedded server, whose bucket is nobody else's. */
export async function createBucketIfMissing(client: S3Client, bucket: string): Promise<void> {
  try {
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
  } catch (thrown) {
    const error = errorOfThrown('CreateBucket', thrown);
    if (error.s3Code !== 'BucketAlreadyOwnedByYou' && error.s3Code !== 'BucketAlreadyExists') throw error;
  }
}

function describeProblem(
  error: S3Error,
  target: BucketToCheck,
  seen: { clockOffMs: number; bucketRegion: string | null },
): BucketProblem {
  const where = target.endpoint === undefined ? `S3 in ${target.region}` : `S3 at ${hostOf(target.endpoint)}`;
  const { bucket } = target;
  const code = error.s3Code;
  const status = error.httpStatus ?? 0;
  if (code === 'CredentialsProviderError') {
    return {
      kind: 'credentials',
      message: 'No S3 credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run with a role.',
      retry: false,
    };
  }
  if (error.cause instanceof TransportError || code === 'Aborted') {
    if (/CERT|TLS|SSL/.test(code)) {
      return { kind: 'tls', message: `The TLS certificate of ${where} is not trusted (${code}).`, retry: false };
    }
    const why = code === 'Aborted' ? 'no answer in time' : code;
    return { kind: 'unreachable', message: `${where} cannot be reached (${why}).`, retry: true };
  }
  if (status >= 500) {
    return { kind: 'unreachable', message: `${where} is not ready (${code}, ${status}).`, retry: true };
  }
  // Before the codes: some servers call a skewed signature wrong, or expired.
  if (code === 'RequestTimeTooSkewed' || (status === 403 && Math.abs(seen.clockOffMs) >= ACCEPTED_SKEW_MS)) {
    const minutes = Math.round(Math.abs(seen.clockOffMs) / 60_000);
    const side = seen.clockOffMs > 0 ? 'behind' : 'ahead of';
    return {
      kind: 'clock',
      message: `${where} refuses our signatures: this machine's clock is ${minutes} minutes ${side} the server's.`,
      retry: false,
    };
  }
  if (code === 'NoSuchBucket') {
    return { kind: 'missing', message: `There is no bucket "${bucket}" on ${where}.`, retry: false };
  }
  if (WRONG_KEY_CODES.has(code)) {
    return { kind: 'credentials', message: `${where} does not accept our credentials (${code}).`, retry: false };
  }
  if (status === 301 || code === 'AuthorizationHeaderMalformed') {
    const actual = seen.bucketRegion === null ? 'in another region' : `in region ${seen.bucketRegion}`;
    return {
      kind: 'region',
      message: `Bucket "${bucket}" is ${actual}, not ${target.region}: set AWS_REGION to its region.`,
      retry: false,
    };
  }
  if (status === 403) {
    return {
      kind: 'listing',
      message: `Our credentials may not list bucket "${bucket}" on ${where} (${code}): allow s3:ListBucket. "npm run s3:check" tries all the rest.`,
      retry: false,
    };
  }
  return {
    kind: 'refused',
    message: `${where} does not answer for bucket "${bucket}" as S3 does (${code}${status === 0 ? '' : `, ${status}`}).`,
    retry: error.retryable,
  };
}

const WRONG_KEY_CODES = new Set([
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'InvalidToken',
  'ExpiredToken',
  'XAdminUserNotFound', // versitygw
]);

/** Without the user name and password that a URL may carry. */
function hostOf(endpoint: string): string {
  return URL.parse(endpoint)?.host ?? 'its endpoint';
}

function headerOf(thrown: unknown, name: string): string | null {
  const response = (thrown as { $response?: { headers?: Record<string, string> } }).$response;
  return response?.headers?.[name] ?? null;
}
