/**
 * Where a request goes: bucket, key and query, taken from the request line as it came. Never by way of `URL`, which
 * resolves `..` and `//`: in a key they are characters like any other.
 */
import { DevS3Error } from './dev-s3-errors.ts';

export interface RequestTarget {
  /** null: the service itself (`/`). */
  bucket: string | null;
  /** null: the bucket itself. */
  key: string | null;
  /** Decoded and encoded again the one way that signature version 4 wants. */
  canonicalPath: string;
  query: Query;
}

export interface Query {
  /** Decoded, in the order of the request. */
  readonly pairs: readonly (readonly [name: string, value: string])[];
  /** The first value of that name. */
  get(name: string): string | undefined;
  has(name: string): boolean;
}

const MAX_KEY_BYTES = 1024;

/** @throws DevS3Error InvalidURI, KeyTooLongError */
export function parseTarget(requestLine: string): RequestTarget {
  const mark = requestLine.indexOf('?');
  const rawPath = mark === -1 ? requestLine : requestLine.slice(0, mark);
  if (!rawPath.startsWith('/')) throw new DevS3Error('InvalidURI');
  const path = decode(rawPath);
  const slash = path.indexOf('/', 1);
  const bucket = slash === -1 ? path.slice(1) : path.slice(1, slash);
  const key = slash === -1 ? '' : path.slice(slash + 1);
  if (bucket === '' && key !== '') throw new DevS3Error('InvalidURI');
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) throw new DevS3Error('KeyTooLongError');
  return {
    bucket: bucket === '' ? null : bucket,
    key: key === '' ? null : key,
    canonicalPath: encodePath(path),
    query: parseQuery(mark === -1 ? '' : requestLine.slice(mark + 1)),
  };
}

/**
 * `x-amz-copy-source`: `bucket/key` with or without a leading slash, percent-encoded, maybe with a version.
 *
 * @throws DevS3Error InvalidArgument
 */
export function parseCopySource(header: string): { bucket: string; key: string } {
  const [rawPath = '', rawQuery = ''] = header.split('?', 2);
  if (rawQuery !== '' && rawQuery !== 'versionId=null') throw new DevS3Error('NotImplemented');
  const path = decode(rawPath).replace(/^\//, '');
  const slash = path.indexOf('/');
  if (slash < 1 || slash === path.length - 1) {
    throw new DevS3Error(
      'InvalidArgument',
      'Copy Source must mention the source bucket and key: sourcebucket/sourcekey',
    );
  }
  return { bucket: path.slice(0, slash), key: path.slice(slash + 1) };
}

export function parseQuery(raw: string): Query {
  const pairs: [string, string][] = [];
  for (const part of raw.split('&')) {
    if (part === '') continue;
    const equals = part.indexOf('=');
    const name = equals === -1 ? part : part.slice(0, equals);
    const value = equals === -1 ? '' : part.slice(equals + 1);
    pairs.push([decode(name.replaceAll('+', ' ')), decode(value.replaceAll('+', ' '))]);
  }
  return {
    pairs,
    get: (name) => pairs.find((pair) => pair[0] === name)?.[1],
    has: (name) => pairs.some((pair) => pair[0] === name),
  };
}

/** Percent-encoding of signature version 4: everything but A–Z a–z 0–9 - . _ ~, in upper case. */
export function encodeUriPart(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

const PLAIN_PATH = /^[\w./~-]*$/;

export function encodePath(path: string): string {
  return PLAIN_PATH.test(path) ? path : path.split('/').map(encodeUriPart).join('/');
}

/** Throws on what is not UTF-8: such a key could be neither listed nor signed. */
function decode(text: string): string {
  if (!text.includes('%')) {
    // A path may hold raw bytes above 0x7f, which Node reads as Latin-1.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII
    return /^[\x00-\x7f]*$/.test(text) ? text : decodeRaw(text);
  }
  try {
    return decodeURIComponent(text);
  } catch {
    throw new DevS3Error('InvalidURI');
  }
}

function decodeRaw(text: string): string {
  const decoded = Buffer.from(text, 'latin1').toString('utf8');
  if (decoded.includes('\ufffd')) throw new DevS3Error('InvalidURI');
  return decoded;
}
