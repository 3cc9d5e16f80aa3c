import { Readable } from 'node:stream';
import type { S3ClientConfig } from '@aws-sdk/client-s3';
import type { HttpTransport, TransportBody } from './http-transport.ts';
import { encodeUriPart } from './object-url.ts';
import { payloadFrom } from './payload.ts';
import type { SdkCallOptions } from './sdk-answers.ts';

/** What we use of the SDK's `HttpRequest`. */
interface SdkRequest {
  protocol: string;
  hostname: string;
  port?: number;
  method: string;
  path: string;
  query?: Record<string, string | readonly string[] | null>;
  headers: Record<string, string>;
  body?: unknown;
}

/** The SDK's request handler on our transport: the same connections, time limits and errors as the hand-made requests. */
export function sdkRequestHandler(transport: HttpTransport): NonNullable<S3ClientConfig['requestHandler']> {
  return {
    metadata: { handlerProtocol: 'http/1.1' },
    async handle(request: SdkRequest, options?: SdkCallOptions) {
      const query = queryString(request.query ?? {});
      const reply = await transport.send({
        secure: request.protocol === 'https:',
        hostname: request.hostname,
        port: request.port,
        method: request.method,
        path: query === '' ? request.path : `${request.path}?${query}`,
        headers: request.headers,
        body: transportBody(request.body),
        // The SDK marks each request with its operation. Only this one has a reply that is not read at once.
        streamed: request.query?.['x-id'] === 'GetObject',
        signal: options?.abortSignal,
        pool: options?.pool,
      });
      return { response: { statusCode: reply.statusCode, headers: reply.headers, body: reply.body } };
    },
    updateHttpClientConfig() {},
    httpHandlerConfigs: () => ({}),
    destroy: () => transport.close(),
  };
}

function transportBody(body: unknown): TransportBody | null {
  if (body === undefined || body === null) return null;
  if (typeof body === 'string') return payloadFrom([Buffer.from(body)]);
  if (body instanceof Uint8Array) return payloadFrom([body]);
  if (body instanceof Readable) return { bytes: null, read: () => body };
  throw new TypeError(`a request body of ${Object.prototype.toString.call(body)}`);
}

/** As the SDK's signer encodes it: RFC 3986, names sorted, `null` for a name without a value. */
function queryString(query: NonNullable<SdkRequest['query']>): string {
  const pairs: string[] = [];
  for (const name of Object.keys(query).sort()) {
    const value = query[name] ?? null;
    if (value === null) pairs.push(encodeUriPart(name));
    else for (const one of [value].flat()) pairs.push(`${encodeUriPart(name)}=${encodeUriPart(one)}`);
  }
  return pairs.join('&');
}
