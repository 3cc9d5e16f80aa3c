/**
 * What the relay needs of S3, and no more. Each call is ONE attempt: whoever calls decides whether to send again,
 * because it must know whether every attempt had a definite answer (design section 4, "Clean end").
 *
 * Every call throws {@link S3Error} when it did not get a 2xx: `outcome` says whether S3 certainly did nothing
 * ('refused', a 4xx) or may have done it ('unknown': a timeout, a reset, a 5xx, an abort in mid-flight).
 */
import type { Readable } from 'node:stream';

/** Bytes that can be sent again: what {@link Payload.read} gives is the same each time. */
export interface Payload {
  readonly bytes: number;
  /** Pieces that have to be waited for share their memory: each is gone when the next is asked for. */
  read(): Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

/** What an object is served with by a CDN in front of the bucket. */
export interface ObjectHeaders {
  contentType?: string;
  /** RFC 6266, already formatted. */
  contentDisposition?: string;
  cacheControl?: string;
  /** User metadata, ASCII, without the `x-amz-meta-` prefix. */
  metadata?: Readonly<Record<string, string>>;
}

export interface StoredPart {
  partNumber: number;
  /** As S3 gave it, quotes included. */
  etag: string;
  bytes: number;
}

export interface StoredObject {
  bytes: number;
  etag: string;
  contentType: string | null;
  /** As it was given to S3 (RFC 6266). */
  contentDisposition: string | null;
  lastModified: Date | null;
  metadata: Readonly<Record<string, string>>;
}

export interface OpenedObject extends StoredObject {
  /** Set for a ranged read: `bytes 0-99/1000`. */
  contentRange: string | null;
  /** The caller reads it to the end or destroys it. */
  body: Readable;
}

/**
 * Whose connections a call uses, so that none of them waits for another's: downloads last as long as their clients like,
 * and a probe has to be answered while uploads have all their connections in use.
 */
export type ConnectionPool = 'uploads' | 'downloads' | 'probes';

export interface CallOptions {
  signal?: AbortSignal;
  /** Called as a payload goes out, with how many of its bytes have: at most a mebibyte before the connection takes them. */
  onProgress?: (bytes: number) => void;
  /** Left out: `uploads`, which is also for everything that works behind them. */
  pool?: ConnectionPool;
}

export interface ObjectStorage {
  putObject(key: string, body: Payload, headers: ObjectHeaders, options?: CallOptions): Promise<{ etag: string }>;
  /** @returns null when there is no such object */
  headObject(key: string, options?: CallOptions): Promise<StoredObject | null>;
  /**
   * @param range first and last byte, both inclusive; last may be left out
   * @returns null when there is no such object
   */
  getObject(key: string, range?: { first: number; last?: number }, options?: CallOptions): Promise<OpenedObject | null>;
  /** Deletes in batches of at most 1,000; an object that is not there counts as deleted. @returns the keys that S3 did not delete */
  deleteObjects(keys: readonly string[], options?: CallOptions): Promise<{ failedKeys: string[] }>;
  /** One page, at most 1,000 keys, in key order. */
  listObjects(
    prefix: string,
    after?: string,
    options?: CallOptions,
  ): Promise<{ objects: { key: string; bytes: number; lastModified: Date | null }[]; more: boolean }>;

  createMultipartUpload(key: string, headers: ObjectHeaders, options?: CallOptions): Promise<{ s3UploadId: string }>;
  uploadPart(
    key: string,
    s3UploadId: string,
    partNumber: number,
    body: Payload,
    options?: CallOptions,
  ): Promise<{ etag: string }>;
  /** Server-side copy of a whole object into a part. */
  uploadPartCopy(
    key: string,
    s3UploadId: string,
    partNumber: number,
    sourceKey: string,
    options?: CallOptions,
  ): Promise<{ etag: string }>;
  completeMultipartUpload(
    key: string,
    s3UploadId: string,
    parts: readonly { partNumber: number; etag: string }[],
    options?: CallOptions,
  ): Promise<{ etag: string }>;
  /**
   * @returns 'missing' when S3 says NoSuchUpload. 'aborted' may mean that it had been gone before (MinIO answers 204 to
   * any id), so "gone for good" is for {@link listParts} to say.
   */
  abortMultipartUpload(key: string, s3UploadId: string, options?: CallOptions): Promise<'aborted' | 'missing'>;
  /** All pages. @returns null when S3 says NoSuchUpload */
  listParts(key: string, s3UploadId: string, options?: CallOptions): Promise<StoredPart[] | null>;
  /** Multipart uploads under exactly this key. */
  listMultipartUploads(key: string, options?: CallOptions): Promise<{ s3UploadId: string; initiated: Date | null }[]>;
}

/** Some services (MinIO) list multipart uploads by their exact key only: there a prefix finds none. */
export interface MultipartPrefixLister {
  /**
   * One page of the multipart uploads under a prefix.
   *
   * @param after what the page before gave as `next`
   */
  listMultipartUploadsUnder(
    prefix: string,
    after?: MultipartPosition,
    options?: CallOptions,
  ): Promise<{ uploads: ListedMultipartUpload[]; next: MultipartPosition | null }>;
}

export interface ListedMultipartUpload {
  key: string;
  s3UploadId: string;
  initiated: Date | null;
}

export interface MultipartPosition {
  key: string;
  s3UploadId: string;
}
