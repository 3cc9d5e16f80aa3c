/**
 * PutObject and UploadPart made by hand, for the hot path: the SDK's credentials and signer without its middleware,
 * which costs more CPU than a small upload itself. The payload's chunks go to the connection as they are.
 */
import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { S3Client } from '@aws-sdk/client-s3';
import { SignatureV4 } from '@smithy/signature-v4';
import { type BucketAddress, findBucketAddress, isLoopback } from './bucket-address.ts';
import type { HttpTransport, TransportCall, TransportReply } from './http-transport.ts';
import type { CallOptions, ObjectHeaders, Payload } from './object-storage.ts';
import { encodeKey, encodeUriPart } from './object-url.ts';
import { parseErrorBody } from './s3-error-body.ts';
import { errorOfAnswer, errorOfPreparation, errorOfThrown, S3Error } from './s3-errors.ts';
import type { SigningClock } from './signing-clock.ts';

export interface ThinSettings {
  bucket: string;
  payloadSigning: 'auto' | 'signed' | 'unsigned';
}

export class ThinRequests {
  readonly #client: S3Client;
  readonly #transport: HttpTransport;
  readonly #clock: SigningClock;
  readonly #settings: ThinSettings;
  /** Learned at the first request, which may also be the first to need credentials. */
  #target: { address: BucketAddress; signer: SignatureV4; signsPayload: boolean } | null = null;

  constructor(client: S3Client, transport: HttpTransport, clock: SigningClock, settings: ThinSettings) {
    this.#client = client;
    this.#transport = transport;
    this.#clock = clock;
    this.#settings = settings;
  }

  putObject(key: string, body: Payload, headers: ObjectHeaders, options?: CallOptions): Promise<{ etag: string }> {
    return this.#put('PutObject', key, {}, body, headers, options);
  }

  uploadPart(
    key: string,
    s3UploadId: string,
    partNumber: number,
    body: Payload,
    options?: CallOptions,
  ): Promise<{ etag: string }> {
    return this.#put('UploadPart', key, { partNumber: `${partNumber}`, uploadId: s3UploadId }, body, {}, options);
  }

  async #put(
    operation: string,
    key: string,
    query: Record<string, string>,
    body: Payload,
    headers: ObjectHeaders,
    options: CallOptions | undefined,
  ): Promise<{ etag: string }> {
    let call: TransportCall;
    try {
      call = await this.#prepare(key, query, body, headers, options);
    } catch (thrown) {
      throw errorOfPreparation(operation, thrown);
    }
    let reply: TransportReply;
    let text: string;
    try {
      reply = await this.#transport.send(call);
      text = await readText(reply);
    } catch (thrown) {
      throw errorOfThrown(operation, thrown);
    }
    if (reply.statusCode >= 200 && reply.statusCode < 300) return { etag: storedEtag(operation, reply) };
    const { code, message } = parseErrorBody(text);
    throw errorOfAnswer(operation, reply.statusCode, code, message);
  }

  async #prepare(
    key: string,
    query: Record<string, string>,
    body: Payload,
    objectHeaders: ObjectHeaders,
    options: CallOptions | undefined,
  ): Promise<TransportCall> {
    const { address, signer, signsPayload } = await this.#findTarget();
    const path = `${address.basePath}${encodeKey(key)}`;
    const headers = wireHeaders(objectHeaders);
    headers.host = address.host;
    headers['content-length'] = `${body.bytes}`;
    headers['x-amz-content-sha256'] = signsPayload ? await sha256Hex(body) : 'UNSIGNED-PAYLOAD';
    const signed = await signer.sign(
      { method: 'PUT', protocol: 'https:', hostname: address.hostname, path, query, headers },
      { signingDate: this.#clock.date() },
    );
    return {
      secure: address.secure,
      hostname: address.hostname,
      port: address.port,
      method: 'PUT',
      path: withQuery(path, query),
      headers: signed.headers,
      body: body.bytes === 0 ? null : body,
      streamed: false,
      signal: options?.signal,
      onProgress: options?.onProgress,
      pool: options?.pool,
    };
  }

  async #findTarget() {
    if (this.#target !== null) return this.#target;
    const { config } = this.#client;
    const address = await findBucketAddress(this.#client, this.#settings.bucket);
    const signer = new SignatureV4({
      credentials: config.credentials,
      region: address.signingRegion,
      service: address.signingService,
      sha256: NodeSha256,
      uriEscapePath: false, // S3 alone does not encode the path a second time
    });
    const signsPayload =
      this.#settings.payloadSigning === 'auto'
        ? !address.secure && !isLoopback(address.hostname)
        : this.#settings.payloadSigning === 'signed';
    this.#target = { address, signer, signsPayload };
    return this.#target;
  }
}

type HashConstructor = ConstructorParameters<typeof SignatureV4>[0]['sha256'];

/** node:crypto in the shape that the SDK's signer asks for. */
class NodeSha256 {
  readonly #hash: Hash | Hmac;

  constructor(secret?: ConstructorParameters<HashConstructor>[0]) {
    // The signer gives its own digests and strings only.
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', secret as string | Uint8Array);
  }
  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
  }
  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }
  reset(): void {
    throw new Error('not used by the signer: it makes a new one for each hash');
  }
}

function wireHeaders(headers: ObjectHeaders): Record<string, string> {
  const wire: Record<string, string> = {};
  if (headers.contentType !== undefined) wire['content-type'] = headers.contentType;
  if (headers.contentDisposition !== undefined) wire['content-disposition'] = headers.contentDisposition;
  if (headers.cacheControl !== undefined) wire['cache-control'] = headers.cacheControl;
  for (const [name, value] of Object.entries(headers.metadata ?? {})) wire[`x-amz-meta-${name.toLowerCase()}`] = value;
  for (const [name, value] of Object.entries(wire)) {
    // Sent as Latin-1 but signed as UTF-8: S3 would only say SignatureDoesNotMatch.
    if (!PRINTABLE_ASCII.test(value)) throw new TypeError(`header ${name} is not printable ASCII`);
  }
  return wire;
}

const PRINTABLE_ASCII = /^[\x20-\x7e]*$/;

function withQuery(path: string, query: Record<string, string>): string {
  const pairs = Object.entries(query).map(([name, value]) => `${name}=${encodeUriPart(value)}`);
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`;
}

/** Bytes hashed in one turn of the event loop: below a millisecond of work. */
const HASH_TURN_BYTES = 1024 * 1024;

async function sha256Hex(body: Payload): Promise<string> {
  const hash = createHash('sha256');
  let turnBytes = 0;
  for await (const chunk of body.read()) {
    hash.update(chunk);
    turnBytes += chunk.byteLength;
    if (turnBytes >= HASH_TURN_BYTES) {
      turnBytes = 0;
      await nextTurn();
    }
  }
  return hash.digest('hex');
}

/** Error documents are some hundred bytes; whatever answers with more is not S3. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** Reads the reply to its end, which also gives its connection back. */
async function readText(reply: TransportReply): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of reply.body as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes <= MAX_ANSWER_BYTES) chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function storedEtag(operation: string, reply: TransportReply): string {
  // "Stored" before everything was sent: not an answer to this request.
  if (!reply.bodySent) throw new S3Error(operation, 'EarlySuccess', reply.statusCode, 'unknown');
  const { etag } = reply.headers;
  if (etag === undefined || etag === '') throw new S3Error(operation, 'IncompleteAnswer', reply.statusCode, 'unknown');
  return etag;
}
