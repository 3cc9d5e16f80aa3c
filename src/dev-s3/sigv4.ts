/**
 * The arithmetic of AWS signature version 4, the server's side ("Authenticating Requests (AWS Signature Version 4)",
 * Amazon S3 API Reference). What is compared, and what a request must look like, is in `authenticate.ts`.
 */
import { createHash, createHmac, hash } from 'node:crypto';
import { encodeUriPart, type Query } from './request-target.ts';

/** SHA-256 of no bytes, in hex. */
export const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

export interface CredentialScope {
  /** `20260102` */
  date: string;
  region: string;
  service: string;
}

export function scopeText(scope: CredentialScope): string {
  return `${scope.date}/${scope.region}/${scope.service}/aws4_request`;
}

/** Keeps the last derived keys: one lasts for a day. */
export class SigningKeys {
  readonly #secretAccessKey: string;
  readonly #keys = new Map<string, Buffer>();

  constructor(secretAccessKey: string) {
    this.#secretAccessKey = secretAccessKey;
  }

  get(scope: CredentialScope): Buffer {
    const name = scopeText(scope);
    let key = this.#keys.get(name);
    if (key === undefined) {
      key = hmac(`AWS4${this.#secretAccessKey}`, scope.date);
      for (const step of [scope.region, scope.service, 'aws4_request']) key = hmac(key, step);
      // The date is the client's: whoever asks for many must not fill the memory.
      if (this.#keys.size >= 16) this.#keys.clear();
      this.#keys.set(name, key);
    }
    return key;
  }
}

export interface RequestToSign {
  method: string;
  canonicalPath: string;
  query: Query;
  /** Names and values in turns, as in `IncomingMessage.rawHeaders`. */
  rawHeaders: readonly string[];
  /** Lower case, sorted. */
  signedHeaders: readonly string[];
  /** Hex SHA-256 of the body, or the word that stands in its place. */
  payloadHash: string;
}

export function canonicalRequest(request: RequestToSign): string {
  return [
    request.method,
    request.canonicalPath,
    canonicalQuery(request.query),
    ...request.signedHeaders.map((name) => `${name}:${headerForSigning(request.rawHeaders, name)}`),
    '',
    request.signedHeaders.join(';'),
    request.payloadHash,
  ].join('\n');
}

/** @param amzDate `20260102T030405Z` */
export function stringToSign(amzDate: string, scope: CredentialScope, canonical: string): string {
  // Node reads header bytes as Latin-1; what was signed are the bytes.
  const digest = createHash('sha256').update(canonical, 'latin1').digest('hex');
  return `AWS4-HMAC-SHA256\n${amzDate}\n${scopeText(scope)}\n${digest}`;
}

export function signatureOf(key: Buffer, text: string): string {
  return createHmac('sha256', key).update(text).digest('hex');
}

/** What each chunk of an aws-chunked body is signed with, in a chain that begins at the request's own signature. */
export class ChunkSigner {
  readonly #key: Buffer;
  readonly #amzDate: string;
  readonly #scope: string;
  #previous: string;

  constructor(key: Buffer, amzDate: string, scope: CredentialScope, seedSignature: string) {
    this.#key = key;
    this.#amzDate = amzDate;
    this.#scope = scopeText(scope);
    this.#previous = seedSignature;
  }

  /** @param chunkSha256 of the chunk's bytes, hex */
  next(chunkSha256: string): string {
    return this.#sign('AWS4-HMAC-SHA256-PAYLOAD', `${EMPTY_SHA256}\n${chunkSha256}`);
  }

  /** @param trailers `name:value\n` of each trailing header but the signature */
  trailer(trailers: string): string {
    return this.#sign('AWS4-HMAC-SHA256-TRAILER', hash('sha256', trailers));
  }

  #sign(algorithm: string, rest: string): string {
    this.#previous = signatureOf(
      this.#key,
      `${algorithm}\n${this.#amzDate}\n${this.#scope}\n${this.#previous}\n${rest}`,
    );
    return this.#previous;
  }
}

function canonicalQuery(query: Query): string {
  return query.pairs
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => [encodeUriPart(name), encodeUriPart(value)] as const)
    .sort(([a, aValue], [b, bValue]) => (a < b ? -1 : a > b ? 1 : aValue < bValue ? -1 : aValue > bValue ? 1 : 0))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

function headerForSigning(rawHeaders: readonly string[], name: string): string {
  const values: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at]?.toLowerCase() === name) values.push((rawHeaders[at + 1] ?? '').trim().replace(/ +/g, ' '));
  }
  return values.join(',');
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
