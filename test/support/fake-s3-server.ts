import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import type { CallLimits } from '../../src/s3/http-transport.ts';
import type { S3Settings } from '../../src/s3/s3-client.ts';
import { S3ObjectStorage } from '../../src/s3/s3-object-storage.ts';

export interface RecordedRequest {
  method: string;
  /** As it came over the wire. */
  url: string;
  headers: IncomingMessage['headers'];
  /** What had arrived when the request ended or broke. */
  body: Buffer;
}

type Answer = (req: IncomingMessage, res: ServerResponse, recorded: RecordedRequest) => void;

export interface FakeS3 {
  endpoint: string;
  requests: RecordedRequest[];
  /** A storage that talks to this server; closed after the test. */
  storage(settings?: Partial<S3Settings>, limits?: CallLimits): S3ObjectStorage;
}

/**
 * A server that answers each request as the test says, and records what came in.
 *
 * @param answer called when the request is through, or with `early` as soon as its headers are there
 */
export async function startFakeS3(t: TestContext, answer: Answer, options: { early?: boolean } = {}): Promise<FakeS3> {
  const requests: RecordedRequest[] = [];
  const server = createServer((req, res) => {
    const recorded = { method: req.method ?? '', url: req.url ?? '', headers: req.headers, body: Buffer.alloc(0) };
    requests.push(recorded);
    if (options.early === true) {
      answer(req, res, recorded);
      return;
    }
    req.on('data', (chunk: Buffer) => {
      recorded.body = Buffer.concat([recorded.body, chunk]);
    });
    req.on('end', () => answer(req, res, recorded));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    endpoint,
    requests,
    storage(settings, limits) {
      const storage = new S3ObjectStorage({ ...TEST_SETTINGS, endpoint, ...settings }, limits);
      t.after(() => storage.close());
      return storage;
    },
  };
}

export const TEST_SETTINGS: S3Settings = {
  bucket: 'test-bucket',
  region: 'us-east-1',
  forcePathStyle: true,
  credentials: { accessKeyId: 'test-key', secretAccessKey: 'test-secret' },
  payloadSigning: 'auto',
  maxSockets: 8,
};

export function answerStored(_req: IncomingMessage, res: ServerResponse): void {
  res.writeHead(200, { etag: '"stored"' }).end();
}

export function answerError(status: number, code: string, headers: Record<string, string> = {}): Answer {
  return (_req, res) => {
    res.writeHead(status, { 'content-type': 'application/xml', ...headers });
    res.end(`<?xml version="1.0"?>\n<Error><Code>${code}</Code><Message>no &amp; no</Message></Error>`);
  };
}

export function answerXml(xml: string): Answer {
  return (_req, res) => res.writeHead(200, { 'content-type': 'application/xml' }).end(xml);
}
