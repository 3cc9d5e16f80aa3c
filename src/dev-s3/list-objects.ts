import { OWNER } from './bucket-operations.ts';
import { checksumType } from './checksums.ts';
import { DevS3Error } from './dev-s3-errors.ts';
import { afterPrefix, keyToBlob } from './index-database.ts';
import { afterKey, itemsOf, lastNameOf, later, type Page, type PageQuery, prefixesOf, readPage } from './list-page.ts';
import { encoderOf, limitOf } from './list-query.ts';
import type { ListedObject } from './object-index.ts';
import { type Reply, xmlReply } from './reply.ts';
import type { S3Request } from './s3-request.ts';
import type { XmlChildren } from './xml.ts';

export async function listObjectsV2(request: S3Request): Promise<Reply> {
  const { query } = request;
  await request.body.none();
  const { encodingType, encode } = encoderOf(query);
  const token = query.get('continuation-token');
  const startAfter = query.get('start-after') ?? '';
  const limit = limitOf(query, 'max-keys');
  const asked = askedFor(request, limit, token === undefined ? firstAfter(startAfter) : readToken(token));
  const page = pageOf(request, asked);
  const owner = query.get('fetch-owner') === 'true';
  return xmlReply('ListBucketResult', {
    Name: request.bucket,
    Prefix: encode(asked.prefix),
    StartAfter: startAfter === '' ? null : encode(startAfter),
    Delimiter: asked.delimiter === '' ? null : encode(asked.delimiter),
    MaxKeys: limit,
    KeyCount: page.entries.length,
    EncodingType: encodingType,
    IsTruncated: page.next !== null,
    ContinuationToken: token,
    NextContinuationToken: page.next === null ? null : writeToken(page.next),
    ...entriesXml(page, encode, owner),
  });
}

/** Version 1: older clients still use it. */
export async function listObjects(request: S3Request): Promise<Reply> {
  const { query } = request;
  await request.body.none();
  const { encodingType, encode } = encoderOf(query);
  const marker = query.get('marker') ?? '';
  const limit = limitOf(query, 'max-keys');
  const delimiter = query.get('delimiter') ?? '';
  // A marker may be a common prefix that the last page showed: everything under it has been seen.
  const wasPrefix = delimiter !== '' && marker.endsWith(delimiter);
  const from = wasPrefix ? (afterPrefix(keyToBlob(marker)) ?? firstAfter(marker)) : firstAfter(marker);
  const asked = askedFor(request, limit, from);
  const page = pageOf(request, asked);
  const last = lastNameOf(page);
  return xmlReply('ListBucketResult', {
    Name: request.bucket,
    Prefix: encode(asked.prefix),
    Marker: encode(marker),
    NextMarker: page.next === null || delimiter === '' || last === null ? null : encode(last),
    Delimiter: delimiter === '' ? null : encode(delimiter),
    MaxKeys: limit,
    EncodingType: encodingType,
    IsTruncated: page.next !== null,
    ...entriesXml(page, encode, true),
  });
}

function askedFor({ query }: S3Request, limit: number, from: Buffer): PageQuery {
  const prefix = query.get('prefix') ?? '';
  return { prefix, delimiter: query.get('delimiter') ?? '', limit, from: later(from, keyToBlob(prefix)) };
}

function pageOf({ store, bucket }: S3Request, query: PageQuery): Page<ListedObject> {
  store.buckets.get(bucket);
  return readPage(query, (from) => store.objects.list(bucket, query.prefix, from));
}

function entriesXml(page: Page<ListedObject>, encode: (text: string) => string, owner: boolean): XmlChildren {
  return {
    Contents: itemsOf(page).map((object) => ({
      Key: encode(object.key),
      LastModified: new Date(object.modifiedMs).toISOString(),
      ETag: `"${object.etag}"`,
      ChecksumAlgorithm: object.checksum?.algorithm,
      ChecksumType: object.checksum === null ? null : checksumType(object.checksum),
      Size: object.bytes,
      StorageClass: 'STANDARD',
      Owner: owner ? OWNER : null,
    })),
    CommonPrefixes: prefixesOf(page).map((prefix) => ({ Prefix: encode(prefix) })),
  };
}

function firstAfter(key: string): Buffer {
  return key === '' ? Buffer.alloc(0) : afterKey(key);
}

function writeToken(next: Buffer): string {
  return `1.${next.toString('base64url')}`;
}

function readToken(token: string): Buffer {
  if (!/^1\.[\w-]+$/.test(token)) {
    throw new DevS3Error('InvalidArgument', 'The continuation token provided is incorrect', {
      details: { ArgumentName: 'continuation-token' },
    });
  }
  return Buffer.from(token.slice(2), 'base64url');
}
