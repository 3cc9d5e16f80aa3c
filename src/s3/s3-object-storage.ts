import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  type S3Client,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { type CallLimits, HttpTransport } from './http-transport.ts';
import type {
  CallOptions,
  ObjectHeaders,
  ObjectStorage,
  OpenedObject,
  Payload,
  StoredObject,
  StoredPart,
} from './object-storage.ts';
import { encodeKey } from './object-url.ts';
import { createS3Client, deleteChecksum, type S3Settings } from './s3-client.ts';
import { errorOfThrown, S3Error } from './s3-errors.ts';
import { ThinRequests } from './thin-request.ts';

/** S3's limit for one DeleteObjects request. */
const DELETE_BATCH = 1_000;

/** Requests at the same time where a service deletes one by one only. */
const SINGLE_DELETES = 8;

/** {@link ObjectStorage} on any S3-compatible service. */
export class S3ObjectStorage implements ObjectStorage {
  /** For `@tus/s3-store`, which wants a client of its own kind. */
  readonly client: S3Client;
  readonly #thin: ThinRequests;
  readonly #bucket: string;
  /** Google Cloud Storage, for one: found out at the first batch. */
  #lacksBatchDelete = false;

  /** @param limits how long a call may take; the defaults are right outside tests */
  constructor(settings: S3Settings, limits?: CallLimits) {
    const transport = new HttpTransport({ maxSockets: settings.maxSockets, ...limits });
    this.client = createS3Client(settings, transport);
    this.#thin = new ThinRequests(this.client, transport, settings);
    this.#bucket = settings.bucket;
  }

  /** Drops the connections; calls that are under way fail. */
  close(): void {
    this.client.destroy();
  }

  putObject(key: string, body: Payload, headers: ObjectHeaders, options?: CallOptions): Promise<{ etag: string }> {
    return this.#thin.putObject(key, body, headers, options);
  }

  async headObject(key: string, options?: CallOptions): Promise<StoredObject | null> {
    try {
      const answer = await this.client.send(
        new HeadObjectCommand({ Bucket: this.#bucket, Key: key }),
        sdkOptions(options),
      );
      return {
        bytes: required('HeadObject', answer.ContentLength),
        etag: required('HeadObject', answer.ETag),
        contentType: answer.ContentType ?? null,
        lastModified: answer.LastModified ?? null,
        metadata: answer.Metadata ?? {},
      };
    } catch (thrown) {
      const error = errorOfThrown('HeadObject', thrown);
      if (error.httpStatus === 404) return null; // no body, so no code: a missing bucket looks the same
      throw error;
    }
  }

  async getObject(
    key: string,
    range?: { first: number; last?: number },
    options?: CallOptions,
  ): Promise<OpenedObject | null> {
    try {
      const answer = await this.client.send(
        new GetObjectCommand({
          Bucket: this.#bucket,
          Key: key,
          ...(range === undefined ? {} : { Range: `bytes=${range.first}-${range.last ?? ''}` }),
        }),
        sdkOptions(options),
      );
      if (!(answer.Body instanceof Readable)) throw new S3Error('GetObject', 'MissingBody', 200, 'unknown');
      return {
        bytes: required('GetObject', answer.ContentLength),
        etag: required('GetObject', answer.ETag),
        contentType: answer.ContentType ?? null,
        lastModified: answer.LastModified ?? null,
        metadata: answer.Metadata ?? {},
        contentRange: answer.ContentRange ?? null,
        body: answer.Body,
      };
    } catch (thrown) {
      const error = errorOfThrown('GetObject', thrown);
      if (error.s3Code === 'NoSuchKey') return null;
      throw error;
    }
  }

  async deleteObjects(keys: readonly string[], options?: CallOptions): Promise<{ failedKeys: string[] }> {
    const [onlyKey] = keys;
    if (onlyKey !== undefined && keys.length === 1) {
      await this.#deleteOne(onlyKey, options);
      return { failedKeys: [] };
    }
    const failedKeys: string[] = [];
    for (let first = 0; first < keys.length; first += DELETE_BATCH) {
      const batch = keys.slice(first, first + DELETE_BATCH);
      failedKeys.push(...(await this.#deleteBatch(batch, options)));
    }
    return { failedKeys };
  }

  listObjects(
    prefix: string,
    after?: string,
    options?: CallOptions,
  ): Promise<{ objects: { key: string; bytes: number; lastModified: Date | null }[]; more: boolean }> {
    return attempt('ListObjectsV2', async () => {
      const answer = await this.client.send(
        new ListObjectsV2Command({
          Bucket: this.#bucket,
          Prefix: prefix,
          MaxKeys: 1_000,
          ...(after === undefined ? {} : { StartAfter: after }),
        }),
        sdkOptions(options),
      );
      const objects = (answer.Contents ?? []).map((object) => ({
        key: required('ListObjectsV2', object.Key),
        bytes: object.Size ?? 0,
        lastModified: object.LastModified ?? null,
      }));
      return { objects, more: answer.IsTruncated === true };
    });
  }

  createMultipartUpload(key: string, headers: ObjectHeaders, options?: CallOptions): Promise<{ s3UploadId: string }> {
    return attempt('CreateMultipartUpload', async () => {
      const answer = await this.client.send(
        new CreateMultipartUploadCommand({ Bucket: this.#bucket, Key: key, ...sdkHeaders(headers) }),
        sdkOptions(options),
      );
      return { s3UploadId: required('CreateMultipartUpload', answer.UploadId) };
    });
  }

  uploadPart(
    key: string,
    s3UploadId: string,
    partNumber: number,
    body: Payload,
    options?: CallOptions,
  ): Promise<{ etag: string }> {
    return this.#thin.uploadPart(key, s3UploadId, partNumber, body, options);
  }

  uploadPartCopy(
    key: string,
    s3UploadId: string,
    partNumber: number,
    sourceKey: string,
    options?: CallOptions,
  ): Promise<{ etag: string }> {
    return attempt('UploadPartCopy', async () => {
      const answer = await this.client.send(
        new UploadPartCopyCommand({
          Bucket: this.#bucket,
          Key: key,
          UploadId: s3UploadId,
          PartNumber: partNumber,
          CopySource: `${this.#bucket}/${encodeKey(sourceKey)}`,
        }),
        sdkOptions(options),
      );
      return { etag: required('UploadPartCopy', answer.CopyPartResult?.ETag) };
    });
  }

  completeMultipartUpload(
    key: string,
    s3UploadId: string,
    parts: readonly { partNumber: number; etag: string }[],
    options?: CallOptions,
  ): Promise<{ etag: string }> {
    return attempt('CompleteMultipartUpload', async () => {
      const answer = await this.client.send(
        new CompleteMultipartUploadCommand({
          Bucket: this.#bucket,
          Key: key,
          UploadId: s3UploadId,
          MultipartUpload: { Parts: parts.map((part) => ({ PartNumber: part.partNumber, ETag: part.etag })) },
        }),
        sdkOptions(options),
      );
      return { etag: required('CompleteMultipartUpload', answer.ETag) };
    });
  }

  async abortMultipartUpload(key: string, s3UploadId: string, options?: CallOptions): Promise<'aborted' | 'missing'> {
    try {
      await this.client.send(
        new AbortMultipartUploadCommand({ Bucket: this.#bucket, Key: key, UploadId: s3UploadId }),
        sdkOptions(options),
      );
      return 'aborted';
    } catch (thrown) {
      const error = errorOfThrown('AbortMultipartUpload', thrown);
      if (isMissingUpload(error)) return 'missing';
      throw error;
    }
  }

  async listParts(key: string, s3UploadId: string, options?: CallOptions): Promise<StoredPart[] | null> {
    const parts: StoredPart[] = [];
    let marker: string | undefined;
    try {
      do {
        const page = await this.client.send(
          new ListPartsCommand({
            Bucket: this.#bucket,
            Key: key,
            UploadId: s3UploadId,
            ...(marker === undefined ? {} : { PartNumberMarker: marker }),
          }),
          sdkOptions(options),
        );
        for (const part of page.Parts ?? []) {
          parts.push({
            partNumber: required('ListParts', part.PartNumber),
            etag: required('ListParts', part.ETag),
            bytes: required('ListParts', part.Size),
          });
        }
        marker = nextMarker('ListParts', page.IsTruncated, marker, page.NextPartNumberMarker);
      } while (marker !== undefined);
      return parts;
    } catch (thrown) {
      const error = errorOfThrown('ListParts', thrown);
      if (isMissingUpload(error)) return null;
      throw error;
    }
  }

  listMultipartUploads(key: string, options?: CallOptions): Promise<{ s3UploadId: string; initiated: Date | null }[]> {
    return attempt('ListMultipartUploads', async () => {
      const uploads: { s3UploadId: string; initiated: Date | null }[] = [];
      let marker: { key: string; uploadId: string } | undefined;
      do {
        const page = await this.client.send(
          new ListMultipartUploadsCommand({
            Bucket: this.#bucket,
            Prefix: key,
            ...(marker === undefined ? {} : { KeyMarker: marker.key, UploadIdMarker: marker.uploadId }),
          }),
          sdkOptions(options),
        );
        for (const upload of page.Uploads ?? []) {
          // A prefix also finds longer keys.
          if (upload.Key !== key) continue;
          uploads.push({
            s3UploadId: required('ListMultipartUploads', upload.UploadId),
            initiated: upload.Initiated ?? null,
          });
        }
        const uploadId = nextMarker(
          'ListMultipartUploads',
          page.IsTruncated,
          marker?.uploadId,
          page.NextUploadIdMarker,
        );
        marker = uploadId === undefined ? undefined : { key: page.NextKeyMarker ?? key, uploadId };
      } while (marker !== undefined && marker.key === key);
      return uploads;
    });
  }

  /** @returns the keys that are not known to be deleted */
  async #deleteBatch(keys: readonly string[], options?: CallOptions): Promise<string[]> {
    if (this.#lacksBatchDelete) return this.#deleteEach(keys, options);
    try {
      const answer = await this.client.send(
        new DeleteObjectsCommand({
          Bucket: this.#bucket,
          // Not quiet: a key is deleted when the answer says so, not when it says nothing.
          Delete: { Objects: keys.map((Key) => ({ Key })) },
          ...deleteChecksum(),
        }),
        sdkOptions(options),
      );
      const gone = new Set((answer.Deleted ?? []).map((object) => object.Key));
      for (const error of answer.Errors ?? []) if (error.Code === 'NoSuchKey') gone.add(error.Key);
      return keys.filter((key) => !gone.has(key));
    } catch (thrown) {
      const error = errorOfThrown('DeleteObjects', thrown);
      if (error.s3Code !== 'NotImplemented' && error.s3Code !== 'MethodNotAllowed') throw error;
      this.#lacksBatchDelete = true;
      return this.#deleteEach(keys, options);
    }
  }

  async #deleteEach(keys: readonly string[], options?: CallOptions): Promise<string[]> {
    const failedKeys: string[] = [];
    for (let first = 0; first < keys.length; first += SINGLE_DELETES) {
      const batch = keys.slice(first, first + SINGLE_DELETES);
      const results = await Promise.allSettled(batch.map((key) => this.#deleteOne(key, options)));
      failedKeys.push(...batch.filter((_, at) => results[at]?.status === 'rejected'));
    }
    return failedKeys;
  }

  async #deleteOne(key: string, options?: CallOptions): Promise<void> {
    await attempt('DeleteObject', () =>
      this.client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: key }), sdkOptions(options)),
    );
  }
}

async function attempt<T>(operation: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (thrown) {
    throw errorOfThrown(operation, thrown);
  }
}

/** A success that lacks what a success must carry is not one that we can rely on. */
function required<T>(operation: string, value: T | undefined): T {
  if (value === undefined) throw new S3Error(operation, 'IncompleteAnswer', 200, 'unknown');
  return value;
}

/** @returns where the next page starts, undefined at the end; a marker that stands still would loop for ever */
function nextMarker(
  operation: string,
  truncated: boolean | undefined,
  last: string | undefined,
  next: string | undefined,
): string | undefined {
  if (truncated !== true) return undefined;
  if (next === undefined || next === '' || next === last) {
    throw new S3Error(operation, 'IncompleteAnswer', 200, 'unknown');
  }
  return next;
}

/** NoSuchKey: DigitalOcean Spaces answers so where the multipart upload is gone. */
function isMissingUpload(error: S3Error): boolean {
  return error.s3Code === 'NoSuchUpload' || error.s3Code === 'NoSuchKey';
}

function sdkOptions(options: CallOptions | undefined): { abortSignal?: AbortSignal } {
  return options?.signal === undefined ? {} : { abortSignal: options.signal };
}

function sdkHeaders(headers: ObjectHeaders) {
  return {
    ...(headers.contentType === undefined ? {} : { ContentType: headers.contentType }),
    ...(headers.contentDisposition === undefined ? {} : { ContentDisposition: headers.contentDisposition }),
    ...(headers.cacheControl === undefined ? {} : { CacheControl: headers.cacheControl }),
    ...(headers.metadata === undefined ? {} : { Metadata: { ...headers.metadata } }),
  };
}
