/**
 * The limit: what it costs Node to take a body from one connection and send it out on another. Answers just enough of
 * tus for the load generator, keeps nothing, repeats nothing: each body becomes one presigned PUT, `{upload}/{offset}`.
 * Configured by the same variables as the server.
 */
import { randomUUID } from 'node:crypto';
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PresignedPut } from './presigned-put.ts';

const {
  S3_BUCKET = '',
  S3_ENDPOINT = '',
  AWS_REGION = '',
  AWS_ACCESS_KEY_ID = '',
  AWS_SECRET_ACCESS_KEY = '',
} = process.env;

interface Upload {
  offset: number;
  readonly length: number;
  /** Signed when it was created, for all of its bytes in one body; null: they have come with the creation. */
  readonly wholePath: string | null;
}

const endpoint = new URL(S3_ENDPOINT);
const agent = new Agent({ keepAlive: true });
const presigned = new PresignedPut({
  endpoint,
  bucket: S3_BUCKET,
  region: AWS_REGION,
  accessKeyId: AWS_ACCESS_KEY_ID,
  secretAccessKey: AWS_SECRET_ACCESS_KEY,
});
const uploads = new Map<string, Upload>();

const server = createServer((incoming, response) => {
  if (incoming.method === 'POST') return create(incoming, response);
  const id = incoming.url?.split('/').at(-1) ?? '';
  const upload = uploads.get(id);
  if (upload === undefined) return answer(response, 404, {});
  if (incoming.method === 'HEAD') return answer(response, 200, offsets(upload));
  const bytes = bodyBytes(incoming);
  const path = (bytes === upload.length ? upload.wholePath : null) ?? pathFor(id, upload.offset, bytes);
  pipe(incoming, path, response, () => {
    upload.offset += bytes;
    answer(response, 204, offsets(upload));
  });
});
server.requestTimeout = 0; // as any server that takes long uploads

server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ endpoint: `http://127.0.0.1:${port}/files` })}\n`);
});

function create(incoming: IncomingMessage, response: ServerResponse): void {
  const id = randomUUID();
  const length = Number(incoming.headers['upload-length']);
  const bytes = bodyBytes(incoming);
  const upload: Upload = { offset: bytes, length, wholePath: bytes > 0 ? null : pathFor(id, 0, length) };
  uploads.set(id, upload);
  const created = () => answer(response, 201, { Location: `/files/${id}`, ...offsets(upload) });
  if (bytes > 0) pipe(incoming, pathFor(id, 0, bytes), response, created);
  else created();
}

function pipe(incoming: IncomingMessage, path: string, response: ServerResponse, done: () => void): void {
  const put = request({
    agent,
    method: 'PUT',
    hostname: endpoint.hostname,
    port: endpoint.port,
    path,
    headers: { 'Content-Length': bodyBytes(incoming) },
  });
  put.once('response', (reply) => {
    reply.resume();
    reply.once('end', () => (reply.statusCode === 200 ? done() : answer(response, 502, {})));
  });
  put.once('error', () => answer(response, 502, {}));
  incoming.pipe(put);
}

function pathFor(id: string, offset: number, bytes: number): string {
  return presigned.pathFor(`${id}/${offset}`, bytes, new Date());
}

function bodyBytes(incoming: IncomingMessage): number {
  return Number(incoming.headers['content-length'] ?? 0);
}

function offsets({ offset, length }: Upload): Record<string, number> {
  return { 'Upload-Offset': offset, 'Upload-Length': length };
}

function answer(response: ServerResponse, status: number, headers: Record<string, string | number>): void {
  response.writeHead(status, {
    'Tus-Resumable': '1.0.0',
    ...(status === 204 ? {} : { 'Content-Length': 0 }),
    ...headers,
  });
  response.end();
}
