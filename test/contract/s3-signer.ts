/**
 * Signature version 4 once more, written for the tests alone ("Authenticating Requests (AWS Signature Version 4)", S3
 * API Reference): what the SDK never sends, and what is signed wrongly on purpose.
 */
import { createHash, createHmac } from 'node:crypto';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import type { S3Target } from './s3-target.ts';

export interface RawRequest {
  method: string;
  /** Percent-encoded, with bucket. */
  path: string;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  body?: Buffer;
  /** For `x-amz-content-sha256`; left out: the hash of the body. */
  payloadHash?: string;
}

export interface Signed {
  headers: Record<string, string>;
  /** Of the request: the first link of the chain that chunks are signed in. */
  signature: string;
  key: Buffer;
  amzDate: string;
  scope: string;
}

export interface RawAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** Of S3's error document; '' when it is none. */
  code: string;
}

export function signHeaders(target: S3Target, request: RawRequest, when = new Date()): Signed {
  const amzDate = amzDateOf(when);
  const payloadHash = request.payloadHash ?? sha256(request.body ?? '');
  const headers: Record<string, string> = {
    host: new URL(target.endpoint).host,
    'x-amz-date': amzDate,
    'x-amz-content-sha256': payloadHash,
    ...request.headers,
  };
  const names = Object.keys(headers).sort();
  const canonical = canonicalRequest(request, headers, names, payloadHash);
  const { key, scope } = keyOf(target, amzDate);
  const signature = hmacHex(key, `AWS4-HMAC-SHA256\n${amzDate}\n${scope}\n${sha256(canonical)}`);
  headers.authorization = `AWS4-HMAC-SHA256 Credential=${target.credentials.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
  return { headers, signature, key, amzDate, scope };
}

/** @returns the query, signature included */
export function presign(
  target: S3Target,
  request: RawRequest,
  expiresSecs: number | string,
  when = new Date(),
): Record<string, string> {
  const amzDate = amzDateOf(when);
  const { key, scope } = keyOf(target, amzDate);
  const headers = { host: new URL(target.endpoint).host, ...request.headers };
  const names = Object.keys(headers).sort();
  const query = {
    ...request.query,
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `${target.credentials.accessKeyId}/${scope}`,
    'X-Amz-Date': amzDate,
    'X-Amz-Expires': String(expiresSecs),
    'X-Amz-SignedHeaders': names.join(';'),
  };
  const canonical = canonicalRequest({ ...request, query }, headers, names, 'UNSIGNED-PAYLOAD');
  const text = `AWS4-HMAC-SHA256\n${amzDate}\n${scope}\n${sha256(canonical)}`;
  return { ...query, 'X-Amz-Signature': hmacHex(key, text) };
}

/** By way of node:http: `fetch` would tidy the path up, and does not send every header. */
export function send(target: S3Target, request: RawRequest & { headers: Record<string, string> }): Promise<RawAnswer> {
  const { hostname, port } = new URL(target.endpoint);
  const query = Object.entries(request.query ?? {});
  const path = query.length === 0 ? request.path : `${request.path}?${queryText(query)}`;
  return new Promise((resolve, reject) => {
    // Of some methods Node sends a body without saying how long it is.
    const headers = { 'content-length': String(request.body?.length ?? 0), ...request.headers };
    const req = httpRequest({ hostname, port, path, method: request.method, headers, agent: false });
    req.on('error', reject);
    req.on('response', (res) => {
      const chunks: Buffer[] = [];
      res.on('error', reject);
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const code = /<Error>.*?<Code>(\w+)<\/Code>/s.exec(text)?.[1] ?? '';
        resolve({ status: res.statusCode ?? 0, headers: res.headers, text, code });
      });
    });
    req.end(request.body);
  });
}

/** Signs and sends. */
export function sendSigned(target: S3Target, request: RawRequest, when = new Date()): Promise<RawAnswer> {
  return send(target, { ...request, headers: signHeaders(target, request, when).headers });
}

export function sha256(text: string | Buffer): string {
  return createHash('sha256').update(text).digest('hex');
}

export function hmacHex(key: Buffer, text: string): string {
  return createHmac('sha256', key).update(text).digest('hex');
}

function canonicalRequest(
  request: RawRequest,
  headers: Record<string, string>,
  names: readonly string[],
  payloadHash: string,
): string {
  return [
    request.method,
    request.path,
    queryText(Object.entries(request.query ?? {})),
    ...names.map((name) => `${name}:${headers[name]?.trim().replace(/ +/g, ' ')}`),
    '',
    names.join(';'),
    payloadHash,
  ].join('\n');
}

function keyOf({ credentials, region }: S3Target, amzDate: string): { key: Buffer; scope: string } {
  const date = amzDate.slice(0, 8);
  const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest();
  const key = hmac(hmac(hmac(hmac(`AWS4${credentials.secretAccessKey}`, date), region), 's3'), 'aws4_request');
  return { key, scope: `${date}/${region}/s3/aws4_request` };
}

function queryText(query: readonly (readonly [string, string])[]): string {
  return query
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join('&');
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** `20260102T030405Z` */
function amzDateOf(when: Date): string {
  return when.toISOString().replace(/[-:]|\.\d{3}/g, '');
}
