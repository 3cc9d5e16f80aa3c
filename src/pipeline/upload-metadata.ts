/** The `Upload-Metadata` header of tus (protocol 1.0, "Creation"): `key base64value,key base64value,flag`. */
import { create as createContentDisposition, parse as parseContentDisposition } from 'content-disposition';
import { RelayError } from '../errors.ts';
import type { ObjectHeaders, StoredObject } from '../s3/object-storage.ts';
import { cleanFileName } from './file-name.ts';
import { cleanMediaType, essenceOf } from './media-type.ts';

/** Keys to decoded values, in the header's order. */
export type UploadMetadata = ReadonlyMap<string, string>;

/** Of keys and decoded values together. */
export const MAX_METADATA_BYTES = 8 * 1024;

export class InvalidMetadataError extends RelayError {
  override readonly name = 'InvalidMetadataError';

  constructor(message: string) {
    super('invalid_metadata', 400, `Upload-Metadata: ${message}`);
  }
}

/**
 * @param header null or empty: no metadata
 * @throws InvalidMetadataError on a key that is empty, doubled or contains a space, on a value that is not base64, and
 *   above {@link MAX_METADATA_BYTES}
 */
export function parseUploadMetadata(header: string | null | undefined): UploadMetadata {
  const metadata = new Map<string, string>();
  if (header == null || header.trim() === '') return metadata;
  let bytes = 0;
  for (const pair of header.split(',')) {
    const { key, value } = parsePair(pair.trim());
    if (metadata.has(key)) throw new InvalidMetadataError(`the key "${shown(key)}" appears twice`);
    bytes += Buffer.byteLength(key) + value.length;
    if (bytes > MAX_METADATA_BYTES) {
      throw new InvalidMetadataError(`more than ${MAX_METADATA_BYTES} bytes of keys and decoded values`);
    }
    metadata.set(key, value.toString('utf8'));
  }
  return metadata;
}

/** The name of the file, safe to show and to save under; null when there is none. */
export function fileNameOf(metadata: UploadMetadata): string | null {
  return cleanFileName(firstOf(metadata, ['filename', 'name']));
}

/** The media type that the client declares; null when it declares none, or something that is none. */
export function declaredTypeOf(metadata: UploadMetadata): string | null {
  return cleanMediaType(firstOf(metadata, ['filetype', 'type', 'contentType']));
}

/**
 * What the object is stored with, so that a CDN in front of the bucket serves it right, and safely: a page, a script
 * or a drawing that may carry one (SVG) is downloaded, never shown under the bucket's name.
 *
 * @param header as it was accepted at the creation
 * @param detectedType what the first bytes say, where it is known; used when the client declared nothing
 */
export function objectHeaders(header: string | null, detectedType: string | null = null): ObjectHeaders {
  const metadata = parseStoredMetadata(header);
  const contentType = declaredTypeOf(metadata) ?? detectedType ?? 'application/octet-stream';
  const cacheControl = headerSafe(metadata.get('cacheControl'));
  return {
    contentType,
    contentDisposition: contentDisposition(fileNameOf(metadata), contentType),
    ...(cacheControl === null ? {} : { cacheControl }),
  };
}

/**
 * The way back from {@link objectHeaders}: the name and the type of the file that an object is. What else the client said
 * is not in the object, whose headers everybody can read where the bucket is public.
 *
 * @returns as an Upload-Metadata header; null when there is neither
 */
export function metadataOfObject(object: Pick<StoredObject, 'contentType' | 'contentDisposition'>): string | null {
  const pairs: string[] = [];
  const fileName = cleanFileName(fileNameIn(object.contentDisposition));
  if (fileName !== null) pairs.push(`filename ${Buffer.from(fileName).toString('base64')}`);
  const type = cleanMediaType(object.contentType);
  // Said for all of which nothing was declared.
  if (type !== null && type !== 'application/octet-stream')
    pairs.push(`filetype ${Buffer.from(type).toString('base64')}`);
  return pairs.length === 0 ? null : pairs.join(',');
}

function fileNameIn(contentDispositionHeader: string | null): string | null {
  if (contentDispositionHeader === null) return null;
  try {
    return parseContentDisposition(contentDispositionHeader).parameters.filename ?? null;
  } catch {
    return null;
  }
}

/** Of a header that was checked when it came in: should it not parse any more, the bytes still have their owner. */
export function parseStoredMetadata(header: string | null): UploadMetadata {
  try {
    return parseUploadMetadata(header);
  } catch (error) {
    if (error instanceof InvalidMetadataError) return new Map();
    throw error;
  }
}

/** RFC 6266, non-ASCII names as RFC 8187. */
export function contentDisposition(fileName: string | null, contentType: string): string {
  return createContentDisposition(fileName ?? undefined, { type: isSafeInline(contentType) ? 'inline' : 'attachment' });
}

/** @returns whether a browser can show it without running anything in it */
export function isSafeInline(contentType: string): boolean {
  const essence = essenceOf(contentType);
  if (/^image\//.test(essence)) return !essence.includes('svg') && !essence.endsWith('xml');
  return /^(audio|video)\//.test(essence) || essence === 'application/pdf' || essence === 'text/plain';
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

function parsePair(pair: string): { key: string; value: Buffer } {
  const [key = '', encoded = '', ...rest] = pair.split(' ');
  if (key === '') throw new InvalidMetadataError('a key is empty');
  if (rest.length > 0) throw new InvalidMetadataError(`"${shown(key)}" is followed by more than one value`);
  if (!BASE64.test(encoded) || encoded.length % 4 !== 0) {
    throw new InvalidMetadataError(`the value of "${shown(key)}" is not base64`);
  }
  return { key, value: Buffer.from(encoded, 'base64') };
}

function firstOf(metadata: UploadMetadata, keys: readonly string[]): string | null {
  for (const key of keys) {
    const value = metadata.get(key);
    if (value !== undefined && value !== '') return value;
  }
  return null;
}

/** Visible ASCII and spaces, which is all that a signed header can carry. */
function headerSafe(value: string | undefined): string | null {
  const text = value?.trim() ?? '';
  return /^[\x20-\x7e]{1,255}$/.test(text) ? text : null;
}

/** A key in an error message: the client's own text, cut short. */
function shown(key: string): string {
  return key.length > 64 ? `${key.slice(0, 64)}…` : key;
}
