import { Readable } from 'node:stream';
import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { CallOptions, OpenedObject, StoredObject } from './object-storage.ts';
import { deleteChecksum } from './s3-client.ts';
import { errorOfThrown, S3Error } from './s3-errors.ts';
import { attempt, required, sdkOptions } from './sdk-answers.ts';

/** S3's limit for one DeleteObjects request. */
const DELETE_BATCH = 1_000;

/** Requests at the same time where a service deletes one by one only. */
const SINGLE_DELETES = 8;

/** Whole objects: reading, listing and deleting them through the SDK's client. */
export class SdkObjects {
  readonly #client: S3Client;
  readonly #bucket: string;
  /** Google Cloud Storage, for one: found out at the first batch. */
  #lacksBatchDelete = false;

  constructor(client: S3Client, bucket: string) {
    this.#client = client;
    this.#bucket = bucket;
  }

  async headObject(key: string, options?: CallOptions): Promise<StoredObject | null> {
    try {
      const answer = await this.#client.send(
        new HeadObjectCommand({ Bucket: this.#bucket, Key: key }),
        sdkOptions(options),
      );
      return {
        bytes: required('HeadObject', answer.ContentLength),
        etag: required('HeadObject', answer.ETag),
        contentType: answer.ContentType ?? null,
        contentDisposition: answer.ContentDisposition ?? null,
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
      const answer = await this.#client.send(
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
        contentDisposition: answer.ContentDisposition ?? null,
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
      const answer = await this.#client.send(
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

  /** @returns the keys that are not known to be deleted */
  async #deleteBatch(keys: readonly string[], options?: CallOptions): Promise<string[]> {
    if (this.#lacksBatchDelete) return this.#deleteEach(keys, options);
    try {
      const answer = await this.#client.send(
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
      // A service that answers none of them is not asked about the rest.
      const errors = results.map((it) => (it.status === 'rejected' && it.reason instanceof S3Error ? it.reason : null));
      if (errors[0] != null && errors.every((it) => it?.outcome === 'unknown')) throw errors[0];
    }
    return failedKeys;
  }

  async #deleteOne(key: string, options?: CallOptions): Promise<void> {
    await attempt('DeleteObject', () =>
      this.#client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: key }), sdkOptions(options)),
    );
  }
}
