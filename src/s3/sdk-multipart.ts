import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  type S3Client,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import type {
  CallOptions,
  ListedMultipartUpload,
  MultipartPosition,
  ObjectHeaders,
  StoredPart,
} from './object-storage.ts';
import { encodeKey } from './object-url.ts';
import { errorOfThrown, type S3Error } from './s3-errors.ts';
import { attempt, nextMarker, required, sdkOptions } from './sdk-answers.ts';

/** Everything about multipart uploads but the bytes of their parts, through the SDK's client. */
export class SdkMultipart {
  readonly #client: S3Client;
  readonly #bucket: string;

  constructor(client: S3Client, bucket: string) {
    this.#client = client;
    this.#bucket = bucket;
  }

  createMultipartUpload(key: string, headers: ObjectHeaders, options?: CallOptions): Promise<{ s3UploadId: string }> {
    return attempt('CreateMultipartUpload', async () => {
      const answer = await this.#client.send(
        new CreateMultipartUploadCommand({ Bucket: this.#bucket, Key: key, ...sdkHeaders(headers) }),
        sdkOptions(options),
      );
      return { s3UploadId: required('CreateMultipartUpload', answer.UploadId) };
    });
  }

  uploadPartCopy(
    key: string,
    s3UploadId: string,
    partNumber: number,
    sourceKey: string,
    options?: CallOptions,
  ): Promise<{ etag: string }> {
    return attempt('UploadPartCopy', async () => {
      const answer = await this.#client.send(
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
      const answer = await this.#client.send(
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
      await this.#client.send(
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
        const page = await this.#client.send(
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
        const page = await this.#client.send(
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

  listMultipartUploadsUnder(
    prefix: string,
    after?: MultipartPosition,
    options?: CallOptions,
  ): Promise<{ uploads: ListedMultipartUpload[]; next: MultipartPosition | null }> {
    const operation = 'ListMultipartUploads';
    return attempt(operation, async () => {
      const page = await this.#client.send(
        new ListMultipartUploadsCommand({
          Bucket: this.#bucket,
          Prefix: prefix,
          ...(after === undefined ? {} : { KeyMarker: after.key, UploadIdMarker: after.s3UploadId }),
        }),
        sdkOptions(options),
      );
      const uploads = (page.Uploads ?? []).map((upload) => ({
        key: required(operation, upload.Key),
        s3UploadId: required(operation, upload.UploadId),
        initiated: upload.Initiated ?? null,
      }));
      const s3UploadId = nextMarker(operation, page.IsTruncated, after?.s3UploadId, page.NextUploadIdMarker);
      const next = s3UploadId === undefined ? null : { key: required(operation, page.NextKeyMarker), s3UploadId };
      return { uploads, next };
    });
  }
}

/** NoSuchKey: DigitalOcean Spaces answers so where the multipart upload is gone. */
function isMissingUpload(error: S3Error): boolean {
  return error.s3Code === 'NoSuchUpload' || error.s3Code === 'NoSuchKey';
}

function sdkHeaders(headers: ObjectHeaders) {
  return {
    ...(headers.contentType === undefined ? {} : { ContentType: headers.contentType }),
    ...(headers.contentDisposition === undefined ? {} : { ContentDisposition: headers.contentDisposition }),
    ...(headers.cacheControl === undefined ? {} : { CacheControl: headers.cacheControl }),
    ...(headers.metadata === undefined ? {} : { Metadata: { ...headers.metadata } }),
  };
}
