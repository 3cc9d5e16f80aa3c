import { Readable } from 'node:stream';
import type { S3 } from '@aws-sdk/client-s3';
import { S3Store } from '@tus/s3-store';
import { Metadata, Upload } from '@tus/utils';
import type { UploadRecord } from '../catalog/upload-record.ts';
import type { ObjectStorage } from '../s3/object-storage.ts';
import { UploadNotFoundError } from './relay-errors.ts';
import type { UploadRelay } from './upload-relay.ts';

export interface RelayStoreOptions {
  client: S3;
  bucket: string;
  uploadExpiresSecs: number;
}

/**
 * The relay as `@tus/server` knows a store: a thin adapter. Nothing of S3Store's own state (its `.info` and `.part`
 * objects, its ListParts) is used; design section 8 says why.
 */
export class RelayStore extends S3Store {
  // `declare`: a plain field would reset the parent's value to undefined.
  declare protected client: S3;
  readonly #relay: UploadRelay;
  readonly #storage: Pick<ObjectStorage, 'getObject'>;
  readonly #expireOverdue: () => Promise<number>;

  constructor(
    options: RelayStoreOptions,
    relay: UploadRelay,
    storage: Pick<ObjectStorage, 'getObject'>,
    expireOverdue: () => Promise<number>,
  ) {
    super({
      partSize: relay.settings.partBytes,
      maxMultipartParts: relay.settings.maxParts,
      useTags: false,
      expirationPeriodInMilliseconds: options.uploadExpiresSecs * 1000,
      s3ClientConfig: { bucket: options.bucket, region: 'unused' },
    });
    this.client.destroy();
    this.client = options.client;
    this.#relay = relay;
    this.#storage = storage;
    this.#expireOverdue = expireOverdue;
  }

  override async create(upload: Upload): Promise<Upload> {
    const metadata = upload.metadata === undefined ? null : Metadata.stringify(upload.metadata);
    const { upload: created } = await this.#relay.create({
      uploadId: upload.id,
      owner: 'public',
      lengthBytes: upload.size ?? null,
      metadata,
      body: null,
    });
    return toTusUpload(created);
  }

  /** @returns the new offset */
  override async write(source: Readable, uploadId: string, offset: number): Promise<number> {
    const { upload } = await this.#relay.append({
      uploadId,
      offsetBytes: offset,
      declaredLengthBytes: null,
      body: { source, declaredBytes: null, stop: new AbortController().signal },
    });
    return upload.offsetBytes;
  }

  override async getUpload(uploadId: string): Promise<Upload> {
    return toTusUpload(await this.#relay.look(uploadId));
  }

  override async declareUploadLength(uploadId: string, lengthBytes: number): Promise<void> {
    const { offsetBytes } = await this.#relay.look(uploadId);
    await this.#relay.append({
      uploadId,
      offsetBytes,
      declaredLengthBytes: lengthBytes,
      body: { source: Readable.from([]), declaredBytes: 0, stop: new AbortController().signal },
    });
  }

  override async remove(uploadId: string): Promise<void> {
    await this.#relay.terminate(uploadId);
  }

  override async read(uploadId: string): Promise<Readable> {
    const upload = await this.#relay.look(uploadId);
    const opened = upload.state === 'finished' ? await this.#storage.getObject(upload.objectKey) : null;
    if (opened === null) throw new UploadNotFoundError(uploadId);
    return opened.body;
  }

  /** @returns how many uploads have expired */
  override deleteExpired(): Promise<number> {
    return this.#expireOverdue();
  }
}

function toTusUpload(upload: UploadRecord): Upload {
  return new Upload({
    id: upload.uploadId,
    offset: upload.offsetBytes,
    creation_date: upload.createdAt.toISOString(),
    storage: { type: 's3', path: upload.objectKey },
    ...(upload.lengthBytes === null ? {} : { size: upload.lengthBytes }),
    ...(upload.metadata === null ? {} : { metadata: Metadata.parse(upload.metadata) }),
  });
}
