/** Who sends this request, and may we believe it? Signature version 4 in the headers or in the query. */
import { timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { DevS3Error } from './dev-s3-errors.ts';
import type { RequestTarget } from './request-target.ts';
import {
  ChunkSigner,
  type CredentialScope,
  canonicalRequest,
  type SigningKeys,
  signatureOf,
  stringToSign,
} from './sigv4.ts';

export interface IncomingSignature {
  method: string;
  headers: IncomingHttpHeaders;
  rawHeaders: readonly string[];
  target: RequestTarget;
}

export interface Authority {
  accessKeyId: string;
  region: string;
  keys: SigningKeys;
}

/** What the signature says about the body. */
export interface PayloadClaim {
  /** whole: the bytes are the content. The others come in aws-chunked pieces. */
  framing: 'whole' | 'unsigned-chunks' | 'signed-chunks';
  /** Chunks only: a trailer follows them. */
  trailer: boolean;
  /** Hex SHA-256 that the whole body must have; null: not signed. */
  sha256: string | null;
  /** Set for signed chunks. */
  chunkSigner: ChunkSigner | null;
}

interface Claim {
  scope: CredentialScope;
  accessKeyId: string;
  signedHeaders: string[];
  signature: string;
  amzDate: string;
  payloadHash: string;
}

const MAX_SKEW_MS = 15 * 60_000;
const MAX_EXPIRES_SECS = 7 * 86_400;

/** @throws DevS3Error in S3's words for whatever is wrong with the signature */
export function authenticate(request: IncomingSignature, authority: Authority, now: Date): PayloadClaim {
  const claim = readClaim(request, now);
  if (request.headers['x-amz-security-token'] !== undefined || request.target.query.has('X-Amz-Security-Token')) {
    throw new DevS3Error('InvalidToken');
  }
  if (claim.accessKeyId !== authority.accessKeyId) {
    throw new DevS3Error('InvalidAccessKeyId', undefined, { details: { AWSAccessKeyId: claim.accessKeyId } });
  }
  checkScope(claim, authority.region);
  checkSignedHeaders(claim.signedHeaders, request.headers);
  const canonical = canonicalRequest({ ...claim, ...request, ...request.target });
  const text = stringToSign(claim.amzDate, claim.scope, canonical);
  const key = authority.keys.get(claim.scope);
  if (!isSame(signatureOf(key, text), claim.signature)) {
    throw new DevS3Error('SignatureDoesNotMatch', undefined, {
      details: { AWSAccessKeyId: claim.accessKeyId, StringToSign: text, CanonicalRequest: canonical },
    });
  }
  return payloadClaim(claim, key);
}

export function isSame(expected: string, given: string): boolean {
  const [a, b] = [Buffer.from(expected), Buffer.from(given)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function readClaim(request: IncomingSignature, now: Date): Claim {
  const { authorization } = request.headers;
  const { query } = request.target;
  if (authorization !== undefined && query.has('X-Amz-Algorithm')) {
    throw new DevS3Error('InvalidArgument', 'Only one auth mechanism allowed');
  }
  if (query.has('X-Amz-Algorithm')) return readQueryClaim(request, now);
  if (authorization === undefined) throw new DevS3Error('AccessDenied');
  return readHeaderClaim(request, authorization, now);
}

function readHeaderClaim({ headers }: IncomingSignature, authorization: string, now: Date): Claim {
  const blank = authorization.indexOf(' ');
  if (authorization.slice(0, blank) !== 'AWS4-HMAC-SHA256') {
    throw new DevS3Error(
      'InvalidRequest',
      'The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.',
    );
  }
  const fields = new Map(
    authorization
      .slice(blank)
      .split(',')
      .map((field) => {
        const equals = field.indexOf('=');
        return [field.slice(0, equals).trim(), field.slice(equals + 1).trim()] as const;
      }),
  );
  const [credential, signedHeaders, signature] = ['Credential', 'SignedHeaders', 'Signature'].map((name) =>
    fields.get(name),
  );
  if (!credential || !signedHeaders || !signature) throw new DevS3Error('AuthorizationHeaderMalformed');
  const payloadHash = headers['x-amz-content-sha256'];
  if (typeof payloadHash !== 'string') {
    throw new DevS3Error('InvalidRequest', 'Missing required header for this request: x-amz-content-sha256');
  }
  const amzDate = headerDate(headers);
  const signedAt = parseAmzDate(amzDate);
  if (signedAt === null) {
    throw new DevS3Error('AccessDenied', 'AWS authentication requires a valid Date or x-amz-date header');
  }
  if (Math.abs(now.getTime() - signedAt.getTime()) > MAX_SKEW_MS) {
    throw new DevS3Error('RequestTimeTooSkewed', undefined, {
      details: {
        RequestTime: amzDate,
        ServerTime: now.toISOString(),
        MaxAllowedSkewMilliseconds: String(MAX_SKEW_MS),
      },
    });
  }
  return {
    ...parseCredential(credential, 'AuthorizationHeaderMalformed'),
    signedHeaders: signedHeaders.split(';'),
    signature,
    amzDate,
    payloadHash,
  };
}

function readQueryClaim({ headers, target: { query } }: IncomingSignature, now: Date): Claim {
  const malformed = (message: string) => new DevS3Error('AuthorizationQueryParametersError', message);
  if (query.get('X-Amz-Algorithm') !== 'AWS4-HMAC-SHA256') {
    throw malformed('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"');
  }
  const [credential, signedHeaders, signature, amzDate, expires] = [
    'X-Amz-Credential',
    'X-Amz-SignedHeaders',
    'X-Amz-Signature',
    'X-Amz-Date',
    'X-Amz-Expires',
  ].map((name) => query.get(name));
  if (!credential || !signedHeaders || !signature || !amzDate || !expires) {
    throw malformed(
      'Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.',
    );
  }
  const signedAt = parseAmzDate(amzDate);
  if (signedAt === null) throw malformed("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"");
  if (!/^\d+$/.test(expires)) throw malformed('X-Amz-Expires should be a number');
  const expiresSecs = Number(expires);
  if (expiresSecs > MAX_EXPIRES_SECS) {
    throw malformed(
      'X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds',
    );
  }
  if (signedAt.getTime() - now.getTime() > MAX_SKEW_MS)
    throw new DevS3Error('AccessDenied', 'Request is not yet valid');
  const expiresAt = signedAt.getTime() + expiresSecs * 1000;
  if (now.getTime() > expiresAt) {
    throw new DevS3Error('AccessDenied', 'Request has expired', {
      details: {
        'X-Amz-Expires': expires,
        Expires: new Date(expiresAt).toISOString(),
        ServerTime: now.toISOString(),
      },
    });
  }
  // A presigned request signs no payload unless it names one.
  const named = headers['x-amz-content-sha256'] ?? query.get('X-Amz-Content-Sha256');
  return {
    ...parseCredential(credential, 'AuthorizationQueryParametersError'),
    signedHeaders: signedHeaders.split(';'),
    signature,
    amzDate,
    payloadHash: typeof named === 'string' ? named : 'UNSIGNED-PAYLOAD',
  };
}

function parseCredential(credential: string, errorCode: string): { accessKeyId: string; scope: CredentialScope } {
  // From the right: an access key may hold slashes.
  const parts = credential.split('/');
  const [date, region, service, last] = parts.slice(-4);
  const accessKeyId = parts.slice(0, -4).join('/');
  if (!accessKeyId || !date || !region || !service || last !== 'aws4_request') {
    throw new DevS3Error(
      errorCode,
      'The Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".',
    );
  }
  return { accessKeyId, scope: { date, region, service } };
}

function checkScope({ scope, amzDate }: Claim, region: string): void {
  const wrong = (what: string, given: string, expected: string, details = {}) => {
    throw new DevS3Error('AuthorizationHeaderMalformed', `The ${what} '${given}' is wrong; expecting '${expected}'`, {
      details,
    });
  };
  if (scope.region !== region) wrong('region', scope.region, region, { Region: region });
  if (scope.service !== 's3') wrong('service', scope.service, 's3');
  if (!amzDate.startsWith(scope.date)) wrong('date', scope.date, amzDate.slice(0, 8));
}

/** Everything that changes what a request does must be under the signature. */
function checkSignedHeaders(signed: readonly string[], headers: IncomingHttpHeaders): void {
  const unsigned = Object.keys(headers).filter((name) => name.startsWith('x-amz-') && !signed.includes(name));
  if (!signed.includes('host')) unsigned.push('host');
  if (unsigned.length > 0) {
    throw new DevS3Error('AccessDenied', 'There were headers present in the request which were not signed', {
      details: { HeadersNotSigned: unsigned.join(', ') },
    });
  }
}

function payloadClaim(claim: Claim, key: Buffer): PayloadClaim {
  const whole = { framing: 'whole', trailer: false, chunkSigner: null } as const;
  switch (claim.payloadHash) {
    case 'UNSIGNED-PAYLOAD':
      return { ...whole, sha256: null };
    case 'STREAMING-UNSIGNED-PAYLOAD-TRAILER':
      return { framing: 'unsigned-chunks', trailer: true, sha256: null, chunkSigner: null };
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD':
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER':
      return {
        framing: 'signed-chunks',
        trailer: claim.payloadHash.endsWith('-TRAILER'),
        sha256: null,
        chunkSigner: new ChunkSigner(key, claim.amzDate, claim.scope, claim.signature),
      };
  }
  if (/^[0-9a-f]{64}$/i.test(claim.payloadHash)) return { ...whole, sha256: claim.payloadHash.toLowerCase() };
  if (claim.payloadHash.startsWith('STREAMING-')) throw new DevS3Error('NotImplemented');
  throw new DevS3Error(
    'InvalidArgument',
    'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.',
  );
}

function headerDate(headers: IncomingHttpHeaders): string {
  const amzDate = headers['x-amz-date'];
  if (typeof amzDate === 'string') return amzDate;
  const date = new Date(headers.date ?? '');
  return Number.isNaN(date.getTime()) ? '' : date.toISOString().replace(/[-:]|\.\d{3}/g, '');
}

/** @returns null for what is not `20260102T030405Z` */
function parseAmzDate(text: string): Date | null {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (match === null) return null;
  const [, year, month, day, hour, minute, second] = match;
  const date = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(date.getTime()) ? null : date;
}
