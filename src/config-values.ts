/** How the text of one environment variable becomes a value: each parser knows what to tell who got it wrong. */
import { isIP } from 'node:net';
import { z } from 'zod';

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
export const TIB = 1024 * GIB;

const SUFFIXES: Readonly<Record<string, number>> = { '': 1, B: 1, KiB: KIB, MiB: MIB, GiB: GIB, TiB: TIB };

/**
 * A variable whose text `parse` understands.
 *
 * @param expected completes the sentence "expected …"
 * @param parse undefined when the text is not that
 */
export function text<T>(expected: string, parse: (text: string) => T | undefined) {
  return z.string().transform((value, context) => {
    const parsed = parse(value);
    if (parsed !== undefined) return parsed;
    context.addIssue({ code: 'custom', message: expected });
    return z.NEVER;
  });
}

export function wholeNumber(min: number, max: number) {
  return text(`a whole number from ${min} to ${max}`, (value) => {
    const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
    return number >= min && number <= max ? number : undefined;
  });
}

/** A number of bytes: `8388608`, `8MiB`, `8 MiB`. Powers of 1024 only, since `8MB` means two things. */
export function byteCount(min: number, max: number, multipleOf = 1) {
  const whole = multipleOf === MIB ? ', in whole MiB' : '';
  return text(`bytes from ${formatBytes(min)} to ${formatBytes(max)}${whole}, like 8388608 or 8MiB`, (value) => {
    const match = /^(\d+(?:\.\d+)?) ?([KMGT]iB|B|)$/.exec(value);
    const bytes = Number(match?.[1]) * (SUFFIXES[match?.[2] ?? ''] as number);
    return Number.isInteger(bytes) && bytes >= min && bytes <= max && bytes % multipleOf === 0 ? bytes : undefined;
  });
}

/** The shortest exact form that {@link byteCount} reads back. */
export function formatBytes(bytes: number): string {
  const suffix = ['TiB', 'GiB', 'MiB', 'KiB'].find((it) => bytes > 0 && bytes % (SUFFIXES[it] as number) === 0);
  return suffix === undefined ? String(bytes) : `${bytes / (SUFFIXES[suffix] as number)}${suffix}`;
}

export function flag() {
  return text('true or false', (value) => {
    if (/^(true|1|yes|on)$/i.test(value)) return true;
    return /^(false|0|no|off)$/i.test(value) ? false : undefined;
  });
}

export function oneOf<const T extends string>(...choices: T[]) {
  return text(`one of ${choices.join(', ')}`, (value) => choices.find((choice) => choice === value.toLowerCase()));
}

/** @returns the URL without a slash at its end */
export function httpUrl() {
  return text('an http:// or https:// URL without user name, query or fragment', (value) => {
    const url = URL.parse(value);
    if (url === null || !/^https?:$/.test(url.protocol)) return undefined;
    if (url.username || url.password || url.search || url.hash) return undefined;
    return url.href.replace(/\/+$/, '');
  });
}

export function postgresUrl() {
  return text('a URL like postgres://user:password@host:5432/database', (value) =>
    /^postgres(ql)?:$/.test(URL.parse(value)?.protocol ?? '') ? value : undefined,
  );
}

export function redisUrl() {
  return text('a URL like redis://user:password@host:6379 or rediss://…', (value) =>
    /^rediss?:$/.test(URL.parse(value)?.protocol ?? '') ? value : undefined,
  );
}

/**
 * What a browser sends as `Origin`, for each page that may use the server from elsewhere; `*` for any, `local` for
 * those on the user's own machine.
 */
export type AllowedOrigins = '*' | 'local' | readonly string[];

export function origins() {
  return text<AllowedOrigins>('* or a comma-separated list of origins like https://app.example.com', (value) => {
    if (value === '*') return '*';
    const list = value.split(',').map((item) => item.trim().replace(/\/$/, '').toLowerCase());
    return list.every((item) => URL.parse(item)?.origin === item) ? list : undefined;
  });
}

/** Names or addresses, lower case, with a port where only that one is meant; `*` for any. */
export type AllowedHosts = '*' | readonly string[];

export function hosts() {
  return text<AllowedHosts>('* or a comma-separated list of names like uploads.example.com', (value) => {
    if (value === '*') return '*';
    const list = value.split(',').map((item) => item.trim().toLowerCase());
    return list.every((item) => /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/.test(item)) ? list : undefined;
  });
}

/** Express's `trust proxy`: false, true, a number of hops, or the proxies' addresses. */
export type TrustProxy = boolean | number | readonly string[];

export function trustProxy() {
  const expected = 'true, false, a number of proxies, or a comma-separated list of addresses, subnets or loopback';
  return text<TrustProxy>(expected, (value) => {
    if (/^(true|false)$/i.test(value)) return value.toLowerCase() === 'true';
    if (/^\d{1,2}$/.test(value)) return Number(value);
    const list = value.split(',').map((item) => item.trim());
    return list.every(isProxyAddress) ? list : undefined;
  });
}

function isProxyAddress(item: string): boolean {
  if (/^(loopback|linklocal|uniquelocal)$/.test(item)) return true;
  const [address = '', prefix, ...rest] = item.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128));
}

/** Paths that the server answers itself; uploads cannot live there. */
const RESERVED_PATH = /^\/(api|livez|readyz|metrics|assets)(\/|$)/i;

export function basePath() {
  return text('a path like /files, other than /api, /livez, /readyz, /metrics and /assets', (value) => {
    const path = value.replace(/\/$/, '');
    const wellFormed = /^(\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$/.test(path);
    return wellFormed && !RESERVED_PATH.test(path) ? path : undefined;
  });
}

/** Goes in front of every object key. @returns empty, or ending in a slash */
export function keyPrefix() {
  return text('letters, digits and ! _ . * ( ) / -, at most 512, not starting with a slash', (value) => {
    if (!/^[A-Za-z0-9!_.*()-][A-Za-z0-9!_.*()/-]{0,511}$/.test(value) || /\/\/|(^|\/)\.{1,2}(\/|$)/.test(value)) {
      return undefined;
    }
    return value.endsWith('/') ? value : `${value}/`;
  });
}
