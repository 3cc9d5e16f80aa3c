import type { IncomingMessage } from 'node:http';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const OVERRIDABLE = new Set(['PATCH', 'HEAD', 'DELETE', 'OPTIONS']);

/** The method that is meant: clients that cannot send a PATCH send a POST with `X-HTTP-Method-Override`. */
export function methodOf(request: IncomingMessage): string {
  const override = request.headers['x-http-method-override'];
  const wished = typeof override === 'string' ? override.toUpperCase() : '';
  return request.method === 'POST' && OVERRIDABLE.has(wished) ? wished : (request.method ?? '');
}

/**
 * The upload that a path names: exactly a uuid behind the base path, and nothing that decodes to one.
 *
 * @returns null for everything else: suffixes, encodings and dots have no meaning here
 */
export function uploadIdOf(path: string, basePath: string): string | null {
  const [pathname = ''] = path.split('?');
  if (!pathname.startsWith(`${basePath}/`)) return null;
  const name = pathname.slice(basePath.length + 1).replace(/\/$/, '');
  return UUID.test(name) ? name : null;
}
