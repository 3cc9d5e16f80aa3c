import type { IncomingMessage } from 'node:http';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * The method that is meant. With `X-HTTP-Method-Override` the request's own is ignored, whatever it is, as the protocol
 * demands: some surroundings let nothing but GET and POST through. No foreign page can send the header unasked: browsers
 * ask with a preflight first.
 *
 * @returns in capitals; of a header that names no method, what it says
 */
export function methodOf(request: IncomingMessage): string {
  const override = request.headers['x-http-method-override'];
  return override === undefined ? (request.method ?? '') : String(override).trim().toUpperCase();
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
