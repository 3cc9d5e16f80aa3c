/** The headers of the tus protocol: what a request may say, and what every answer carries. */
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { HEADERS } from '@tus/utils';
import type { UploadRecord } from '../catalog/upload-record.ts';
import { UploadCompletingError } from '../relay/relay-errors.ts';
import { TusProtocolError } from './tus-errors.ts';

export const TUS_VERSION = '1.0.0';
export const OFFSET_CONTENT_TYPE = 'application/offset+octet-stream';

/** Beyond those that @tus/server exposes and allows by itself. */
export const MORE_EXPOSED_HEADERS = ['Upload-Expires', 'X-Request-ID', 'Retry-After'];
/** `Upload-Checksum`, too: a page can then read why it is refused. */
export const MORE_ALLOWED_HEADERS = ['Upload-Expires', 'Upload-Checksum', 'X-Request-ID'];

/** The same list as in the answers of @tus/server, which names request headers, too. */
const EXPOSED_HEADERS = [...HEADERS, ...MORE_EXPOSED_HEADERS].join(', ');

/** @param origin the page's that may read the answer, `*` for any, null for none */
export function corsHeaders(origin: string | null): OutgoingHttpHeaders {
  if (origin === null) return {};
  return {
    'Access-Control-Allow-Origin': origin,
    'Access-Control-Expose-Headers': EXPOSED_HEADERS,
    // Browsers refuse the two together with `*`.
    ...(origin === '*' ? {} : { 'Access-Control-Allow-Credentials': 'true' }),
  };
}

/** @throws TusProtocolError 412: the protocol demands it of every request but OPTIONS and GET */
export function assertTusVersion(request: IncomingMessage): void {
  if (request.headers['tus-resumable'] === TUS_VERSION) return;
  throw new TusProtocolError('unsupported_version', 412, `this server speaks Tus-Resumable: ${TUS_VERSION}`);
}

/**
 * Bytes whose checksum we do not check may not be acknowledged as if we had.
 *
 * @throws TusProtocolError 400 when there is one, or is said to follow the body
 */
export function refuseChecksum({ headers }: IncomingMessage): void {
  const announced = headers.trailer?.split(',').map((name) => name.trim().toLowerCase()) ?? [];
  if (headers['upload-checksum'] === undefined && !announced.includes('upload-checksum')) return;
  throw new TusProtocolError('checksum_unsupported', 400, 'this server does not offer the checksum extension');
}

/** @returns a non-negative whole number; null when the header is missing @throws TusProtocolError 400 */
export function readByteCount(request: IncomingMessage, name: 'upload-offset' | 'upload-length'): number | null {
  const value = request.headers[name];
  if (value === undefined) return null;
  const number = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  const code = name === 'upload-offset' ? 'invalid_offset' : 'invalid_upload_length';
  throw new TusProtocolError(code, 400, `${name} has to be a whole number of bytes`);
}

/** Content-Length; null for a chunked body. */
export function readContentLength(request: IncomingMessage): number | null {
  const value = request.headers['content-length'];
  return value === undefined ? null : Number(value);
}

/** @throws UploadCompletingError: without its object the whole length is not to be named (V3) */
export function uploadHeaders(upload: UploadRecord): OutgoingHttpHeaders {
  if (upload.state === 'completing') throw new UploadCompletingError(upload.uploadId);
  return { 'Upload-Offset': upload.offsetBytes, ...expiryHeaders(upload) };
}

export function expiryHeaders(upload: UploadRecord): OutgoingHttpHeaders {
  return upload.state === 'open' ? { 'Upload-Expires': upload.expiresAt.toUTCString() } : {};
}
