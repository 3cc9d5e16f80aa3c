/**
 * An S3 in memory, for tests of the store: it keeps what it is given, checks what S3 checks (ETags, order, sizes), and
 * lets a test decide what becomes of each call.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type {
  CallOptions,
  MultipartPosition,
  MultipartPrefixLister,
  ObjectHeaders,
  ObjectStorage,
  OpenedObject,
  Payload,
  StoredObject,
  StoredPart,
} from '../../src/s3/object-storage.ts';
import { S3Error } from '../../src/s3/s3-errors.ts';

/**
 * What becomes of one call. refuse: a 4xx. fail: a 5xx, and nothing was done. drop-reply: done, but the caller does not
 * learn it.
 */
export type Fate =
  | { kind: 'ok' }
  | { kind: 'refuse'; code: string }
  | { kind: 'fail'; code?: string }
  | { kind: 'drop-reply' };

export interface S3Call {
  operation: string;
  key: string;
  partNumber?: number;
  bytes?: number;
}

interface MemoryObject {
  bytes: Buffer;
  etag: string;
  headers: ObjectHeaders;
  storedAt: Date;
}

interface MemoryMultipart {
  key: string;
  headers: ObjectHeaders;
  parts: Map<number, { bytes: Buffer; etag: string }>;
  initiated: Date;
}

export interface MemoryS3Options {
  /** Minimum of every part but the last; real ones say 5 MiB. */
  minPartBytes?: number;
  /** What a second Complete of the same upload answers. */
  secondComplete?: 'same-etag' | 'no-such-upload';
}

export class MemoryObjectStorage implements ObjectStorage, MultipartPrefixLister {
  readonly objects = new Map<string, MemoryObject>();
  readonly multiparts = new Map<string, MemoryMultipart>();
  readonly calls: S3Call[] = [];
  /** Decides the fate of each call; may wait. */
  fate: (call: S3Call) => Fate | Promise<Fate> = () => ({ kind: 'ok' });
  readonly #completed = new Map<string, string>();
  readonly #options: Required<MemoryS3Options>;
  #serial = 0;

  constructor(options: MemoryS3Options = {}) {
    this.#options = { minPartBytes: 0, secondComplete: 'no-such-upload', ...options };
  }

  /** Calls by operation since the last reset. */
  counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { operation } of this.calls) counts[operation] = (counts[operation] ?? 0) + 1;
    return counts;
  }

  forget(): void {
    this.calls.length = 0;
  }

  bytesOf(key: string): Buffer | undefined {
    return this.objects.get(key)?.bytes;
  }

  async putObject(key: string, body: Payload, headers: ObjectHeaders): Promise<{ etag: string }> {
    const bytes = await collect(body);
    return this.#call({ operation: 'PutObject', key, bytes: bytes.length }, () => {
      const etag = etagOf(bytes);
      this.objects.set(key, { bytes, etag, headers, storedAt: new Date() });
      return { etag };
    });
  }

  async headObject(key: string): Promise<StoredObject | null> {
    return this.#call({ operation: 'HeadObject', key }, () => {
      const object = this.objects.get(key);
      return object === undefined ? null : describe(object);
    });
  }

  async getObject(key: string, range?: { first: number; last?: number }): Promise<OpenedObject | null> {
    return this.#call({ operation: 'GetObject', key }, () => {
      const object = this.objects.get(key);
      if (object === undefined) return null;
      const bytes =
        range === undefined
          ? object.bytes
          : object.bytes.subarray(range.first, (range.last ?? object.bytes.length) + 1);
      return { ...describe(object), contentRange: null, body: Readable.from([bytes], { objectMode: false }) };
    });
  }

  async deleteObjects(keys: readonly string[], _options?: CallOptions): Promise<{ failedKeys: string[] }> {
    return this.#call({ operation: 'DeleteObjects', key: keys.join(' ') }, () => {
      for (const key of keys) this.objects.delete(key);
      return { failedKeys: [] };
    });
  }

  async listObjects(prefix: string, after = '') {
    return this.#call({ operation: 'ListObjectsV2', key: prefix }, () => {
      const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
      const objects = keys.slice(0, 1000).map((key) => {
        const object = this.objects.get(key) as MemoryObject;
        return { key, bytes: object.bytes.length, lastModified: object.storedAt };
      });
      return { objects, more: keys.length > 1000 };
    });
  }

  async createMultipartUpload(key: string, headers: ObjectHeaders): Promise<{ s3UploadId: string }> {
    return this.#call({ operation: 'CreateMultipartUpload', key }, () => {
      this.#serial += 1;
      const s3UploadId = `mpu-${this.#serial}`;
      this.multiparts.set(s3UploadId, { key, headers, parts: new Map(), initiated: new Date() });
      return { s3UploadId };
    });
  }

  async uploadPart(key: string, s3UploadId: string, partNumber: number, body: Payload): Promise<{ etag: string }> {
    const bytes = await collect(body);
    return this.#call({ operation: 'UploadPart', key, partNumber, bytes: bytes.length }, () => {
      const etag = etagOf(bytes);
      this.#multipart('UploadPart', key, s3UploadId).parts.set(partNumber, { bytes, etag });
      return { etag };
    });
  }

  async uploadPartCopy(key: string, s3UploadId: string, partNumber: number, sourceKey: string) {
    return this.#call({ operation: 'UploadPartCopy', key, partNumber }, () => {
      const source = this.objects.get(sourceKey);
      if (source === undefined) throw new S3Error('UploadPartCopy', 'NoSuchKey', 404, 'refused');
      const etag = etagOf(source.bytes);
      this.#multipart('UploadPartCopy', key, s3UploadId).parts.set(partNumber, { bytes: source.bytes, etag });
      return { etag };
    });
  }

  async completeMultipartUpload(
    key: string,
    s3UploadId: string,
    parts: readonly { partNumber: number; etag: string }[],
  ): Promise<{ etag: string }> {
    return this.#call({ operation: 'CompleteMultipartUpload', key }, () => {
      const before = this.#completed.get(s3UploadId);
      if (before !== undefined && this.#options.secondComplete === 'same-etag') return { etag: before };
      const multipart = this.#multipart('CompleteMultipartUpload', key, s3UploadId);
      const chunks: Buffer[] = [];
      let last = 0;
      for (const [place, { partNumber, etag }] of parts.entries()) {
        const part = multipart.parts.get(partNumber);
        if (partNumber <= last) throw new S3Error('CompleteMultipartUpload', 'InvalidPartOrder', 400, 'refused');
        if (part?.etag !== etag) throw new S3Error('CompleteMultipartUpload', 'InvalidPart', 400, 'refused');
        if (place < parts.length - 1 && part.bytes.length < this.#options.minPartBytes) {
          throw new S3Error('CompleteMultipartUpload', 'EntityTooSmall', 400, 'refused');
        }
        last = partNumber;
        chunks.push(part.bytes);
      }
      const bytes = Buffer.concat(chunks);
      const etag = `${etagOf(bytes).slice(0, -1)}-${parts.length}"`;
      this.objects.set(key, { bytes, etag, headers: multipart.headers, storedAt: new Date() });
      this.multiparts.delete(s3UploadId);
      this.#completed.set(s3UploadId, etag);
      return { etag };
    });
  }

  async abortMultipartUpload(key: string, s3UploadId: string, _options?: CallOptions): Promise<'aborted' | 'missing'> {
    return this.#call({ operation: 'AbortMultipartUpload', key }, () =>
      this.multiparts.delete(s3UploadId) ? 'aborted' : 'missing',
    );
  }

  async listParts(key: string, s3UploadId: string): Promise<StoredPart[] | null> {
    return this.#call({ operation: 'ListParts', key }, () => {
      const multipart = this.multiparts.get(s3UploadId);
      if (multipart === undefined) return null;
      return [...multipart.parts]
        .map(([partNumber, { etag, bytes }]) => ({ partNumber, etag, bytes: bytes.length }))
        .sort((a, b) => a.partNumber - b.partNumber);
    });
  }

  async listMultipartUploads(key: string) {
    return this.#call({ operation: 'ListMultipartUploads', key }, () =>
      [...this.multiparts]
        .filter(([, multipart]) => multipart.key === key)
        .map(([s3UploadId, { initiated }]) => ({ s3UploadId, initiated })),
    );
  }

  /** Pages of two, so that tests see more than one. */
  async listMultipartUploadsUnder(prefix: string, after?: MultipartPosition) {
    return this.#call({ operation: 'ListMultipartUploads', key: prefix }, () => {
      const all = [...this.multiparts]
        .map(([s3UploadId, { key, initiated }]) => ({ key, s3UploadId, initiated }))
        .filter(({ key }) => key.startsWith(prefix))
        .sort((a, b) => compare(a, b));
      const rest = all.filter((it) => after === undefined || compare(it, after) > 0);
      const uploads = rest.slice(0, 2);
      return { uploads, next: rest.length > uploads.length ? (uploads.at(-1) as MultipartPosition) : null };
    });
  }

  async #call<T>(call: S3Call, work: () => T): Promise<T> {
    this.calls.push(call);
    const fate = await this.fate(call);
    if (fate.kind === 'refuse') throw new S3Error(call.operation, fate.code, 400, 'refused');
    if (fate.kind === 'fail') throw new S3Error(call.operation, fate.code ?? 'InternalError', 500, 'unknown');
    const result = work();
    if (fate.kind === 'drop-reply') throw new S3Error(call.operation, 'ECONNRESET', null, 'unknown');
    return result;
  }

  #multipart(operation: string, key: string, s3UploadId: string): MemoryMultipart {
    const multipart = this.multiparts.get(s3UploadId);
    if (multipart?.key === key) return multipart;
    throw new S3Error(operation, 'NoSuchUpload', 404, 'refused');
  }
}

function compare(a: MultipartPosition, b: MultipartPosition): number {
  return a.key === b.key
    ? Number(a.s3UploadId > b.s3UploadId) - 1 + Number(a.s3UploadId >= b.s3UploadId)
    : a.key > b.key
      ? 1
      : -1;
}

function describe(object: MemoryObject): StoredObject {
  return {
    bytes: object.bytes.length,
    etag: object.etag,
    contentType: object.headers.contentType ?? null,
    contentDisposition: object.headers.contentDisposition ?? null,
    lastModified: object.storedAt,
    metadata: object.headers.metadata ?? {},
  };
}

function etagOf(bytes: Buffer): string {
  return `"${createHash('md5').update(bytes).digest('hex')}"`;
}

async function collect(body: Payload): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body.read()) chunks.push(Buffer.from(chunk));
  const bytes = Buffer.concat(chunks);
  if (bytes.length !== body.bytes) throw new Error(`the payload says ${body.bytes} bytes and gives ${bytes.length}`);
  return bytes;
}
