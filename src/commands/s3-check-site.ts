/** Where a check happens: a prefix of its own, what was made under it, and how all of that goes away again. */
import { randomUUID } from 'node:crypto';
import type { S3 } from '@aws-sdk/client-s3';
import type { ProviderProfile } from '../provider-profiles.ts';
import type { ObjectHeaders } from '../s3/object-storage.ts';
import { payloadFrom } from '../s3/payload.ts';
import type { S3ObjectStorage } from '../s3/s3-object-storage.ts';

export interface CheckedBucket {
  storage: S3ObjectStorage;
  bucket: string;
  keyPrefix: string;
  profile: ProviderProfile;
  payloadSigning: 'auto' | 'signed' | 'unsigned';
  /** The same bucket, with payloads signed or not. The caller closes it. */
  withSigning: (payloadSigning: 'signed' | 'unsigned') => S3ObjectStorage;
  /** Pages of these origins upload directly; empty: none is named. */
  origins: readonly string[];
}

export class CheckSite {
  readonly target: CheckedBucket;
  readonly prefix: string;
  readonly #keys = new Set<string>();
  readonly #multiparts: { key: string; s3UploadId: string }[] = [];
  #object: Promise<string> | null = null;

  constructor(target: CheckedBucket) {
    this.target = target;
    this.prefix = `${target.keyPrefix}s3-check-${randomUUID()}/`;
  }

  get storage(): S3ObjectStorage {
    return this.target.storage;
  }

  get client(): S3 {
    return this.target.storage.client;
  }

  /** A key of this check's own, which is deleted at its end. */
  key(name: string): string {
    const key = `${this.prefix}${name}`;
    this.#keys.add(key);
    return key;
  }

  async put(name: string, bytes: Uint8Array, headers: ObjectHeaders = {}): Promise<string> {
    const key = this.key(name);
    await this.storage.putObject(key, payloadFrom([bytes]), headers);
    return key;
  }

  /** An object of eleven bytes for whoever only reads. @throws S3Error as the first one that wanted it has got */
  object(): Promise<string> {
    this.#object ??= this.put('object', OBJECT_BYTES, OBJECT_HEADERS);
    return this.#object;
  }

  /** A multipart upload that is aborted at the end, whatever became of it. */
  async multipart(name: string): Promise<{ key: string; s3UploadId: string }> {
    const key = this.key(name);
    const { s3UploadId } = await this.storage.createMultipartUpload(key, {});
    this.#multiparts.push({ key, s3UploadId });
    return { key, s3UploadId };
  }

  /** @returns what could not be removed, in words; empty when nothing of the check is left */
  async remove(): Promise<string[]> {
    const left: string[] = [];
    for (const { key, s3UploadId } of this.#multiparts) {
      await this.storage.abortMultipartUpload(key, s3UploadId).catch(() => left.push(`a multipart upload of ${key}`));
    }
    try {
      const { failedKeys } = await this.storage.deleteObjects([...this.#keys]);
      left.push(...failedKeys.map((key) => `the object ${key}`));
    } catch {
      left.push(`objects under ${this.prefix}`);
    }
    return left;
  }
}

export const OBJECT_BYTES = Buffer.from('hello check');
export const OBJECT_HEADERS = {
  contentType: 'text/plain',
  contentDisposition: 'inline; filename="check.txt"',
  cacheControl: 'no-cache',
  metadata: { 'tus-relay-check': 'yes' },
} as const satisfies ObjectHeaders;
