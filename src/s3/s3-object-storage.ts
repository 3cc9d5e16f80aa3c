import type { S3 } from '@aws-sdk/client-s3';
import { type CallLimits, HttpTransport } from './http-transport.ts';
import type {
  CallOptions,
  MultipartPosition,
  MultipartPrefixLister,
  ObjectHeaders,
  ObjectStorage,
  Payload,
} from './object-storage.ts';
import { createS3Client, type S3Settings } from './s3-client.ts';
import { SdkMultipart } from './sdk-multipart.ts';
import { SdkObjects } from './sdk-objects.ts';
import { SigningClock } from './signing-clock.ts';
import { ThinRequests } from './thin-request.ts';

/** A probe that was not answered is given up before the next but one begins. */
const PROBE_SOCKETS = 4;

/**
 * {@link ObjectStorage} on any S3-compatible service. What carries a payload is made by hand ({@link ThinRequests}),
 * everything else goes through the SDK's client; both share the pools of connections and their time limits.
 */
export class S3ObjectStorage implements ObjectStorage, MultipartPrefixLister {
  /** For `@tus/s3-store`, which wants a client of its own kind, and for the check at the start. */
  readonly client: S3;
  readonly #clock = new SigningClock();
  readonly #thin: ThinRequests;
  readonly #objects: SdkObjects;
  readonly #multipart: SdkMultipart;

  /** @param limits how long a call may take; the defaults are right outside tests */
  constructor(settings: S3Settings, limits?: CallLimits) {
    const maxSockets = {
      uploads: settings.maxSockets,
      downloads: settings.maxDownloadSockets ?? settings.maxSockets,
      probes: PROBE_SOCKETS,
    };
    const onAnswer = this.#clock.hear.bind(this.#clock);
    const transport = new HttpTransport({ maxSockets, onAnswer, ...limits });
    this.client = createS3Client(settings, transport, this.#clock);
    this.#thin = new ThinRequests(this.client, transport, this.#clock, settings);
    this.#objects = new SdkObjects(this.client, settings.bucket);
    this.#multipart = new SdkMultipart(this.client, settings.bucket);
  }

  /** What S3's clock is ahead of this machine's, as far as its answers have told. */
  get clockOffsetMs(): number {
    return this.#clock.offsetMs;
  }

  /** Drops the connections; calls that are under way fail. */
  close(): void {
    this.client.destroy();
  }

  putObject(key: string, body: Payload, headers: ObjectHeaders, options?: CallOptions) {
    return this.#thin.putObject(key, body, headers, options);
  }

  headObject(key: string, options?: CallOptions) {
    return this.#objects.headObject(key, options);
  }

  getObject(key: string, range?: { first: number; last?: number }, options?: CallOptions) {
    return this.#objects.getObject(key, range, options);
  }

  deleteObjects(keys: readonly string[], options?: CallOptions) {
    return this.#objects.deleteObjects(keys, options);
  }

  listObjects(prefix: string, after?: string, options?: CallOptions) {
    return this.#objects.listObjects(prefix, after, options);
  }

  createMultipartUpload(key: string, headers: ObjectHeaders, options?: CallOptions) {
    return this.#multipart.createMultipartUpload(key, headers, options);
  }

  uploadPart(key: string, s3UploadId: string, partNumber: number, body: Payload, options?: CallOptions) {
    return this.#thin.uploadPart(key, s3UploadId, partNumber, body, options);
  }

  uploadPartCopy(key: string, s3UploadId: string, partNumber: number, sourceKey: string, options?: CallOptions) {
    return this.#multipart.uploadPartCopy(key, s3UploadId, partNumber, sourceKey, options);
  }

  completeMultipartUpload(
    key: string,
    s3UploadId: string,
    parts: readonly { partNumber: number; etag: string }[],
    options?: CallOptions,
  ) {
    return this.#multipart.completeMultipartUpload(key, s3UploadId, parts, options);
  }

  abortMultipartUpload(key: string, s3UploadId: string, options?: CallOptions) {
    return this.#multipart.abortMultipartUpload(key, s3UploadId, options);
  }

  listParts(key: string, s3UploadId: string, options?: CallOptions) {
    return this.#multipart.listParts(key, s3UploadId, options);
  }

  listMultipartUploads(key: string, options?: CallOptions) {
    return this.#multipart.listMultipartUploads(key, options);
  }

  listMultipartUploadsUnder(prefix: string, after?: MultipartPosition, options?: CallOptions) {
    return this.#multipart.listMultipartUploadsUnder(prefix, after, options);
  }
}
