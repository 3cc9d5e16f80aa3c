import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http';

/** What came back. */
export interface Exchange {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

export interface Sent {
  method: string;
  headers?: OutgoingHttpHeaders;
  body?: Uint8Array | string;
}

/** No answer came: the connection broke, or there was none. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError';
}

/**
 * One request on a connection of its own, sent exactly as given: no redirects, no repetition, no kept-alive socket that
 * a killed server has left behind.
 *
 * @throws ConnectionLostError
 */
export function exchange(url: string, { method, headers = {}, body }: Sent): Promise<Exchange> {
  return new Promise((resolve, reject) => {
    const lost = (cause: Error) => reject(new ConnectionLostError(`${method} ${url}: ${cause.message}`, { cause }));
    const length =
      body === undefined || 'Transfer-Encoding' in headers ? {} : { 'Content-Length': Buffer.byteLength(body) };
    // Taken apart by hand: the URL class would tidy up a path that a test means as it is.
    const [, hostname = '', port = '', path = ''] = /^http:\/\/([^/:]+):(\d+)(.*)$/.exec(url) ?? [];
    const target = { hostname, port, path, method, agent: false as const, headers: { ...length, ...headers } };
    const sending = request(target, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', lost);
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) });
      });
    });
    sending.on('error', lost);
    sending.end(body);
  });
}
