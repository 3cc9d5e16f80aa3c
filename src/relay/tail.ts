/**
 * The tail: bytes past the last whole part, kept as one small object per PATCH ("segments") until a part takes them up.
 * A segment is discarded only by the commit that stops needing it (V5); its key holds the writer's token, so that a
 * late write of a fenced writer is an orphan and never an overwrite.
 */
import type { Readable } from 'node:stream';
import type { TailSegment } from '../catalog/upload-catalog.ts';
import type { UploadRecord } from '../catalog/upload-record.ts';
import { RelayError } from '../errors.ts';
import type { ObjectStorage } from '../s3/object-storage.ts';
import { S3Error } from '../s3/s3-errors.ts';
import type { Clock } from './clock.ts';
import { tailBytes } from './part-plan.ts';
import { withS3Retry } from './s3-retry.ts';

/** With this many segments the next PATCH rewrites them as one. */
export const MAX_TAIL_SEGMENTS = 64;

export function segmentKey(objectKey: string, token: string, sequence: number): string {
  return `${objectKey}.tail/${token}/${sequence}`;
}

export function nextSequence(tail: readonly TailSegment[]): number {
  return (tail.at(-1)?.sequence ?? 0) + 1;
}

/** The bucket does not hold what the catalog says it holds. */
export class TailDamagedError extends RelayError {
  override readonly name = 'TailDamagedError';

  constructor(uploadId: string, message: string) {
    super('upload_damaged', 500, `upload ${uploadId}: ${message}`);
  }
}

/** @returns the tail's bytes, in order: exactly as many as the upload's offset says */
export async function loadTail(
  storage: Pick<ObjectStorage, 'getObject'>,
  clock: Clock,
  upload: UploadRecord,
  tail: readonly TailSegment[],
): Promise<Buffer[]> {
  const promised = tail.reduce((sum, segment) => sum + segment.bytes, 0);
  const expected = tailBytes(upload.offsetBytes, upload.partBytes);
  if (promised !== expected) {
    throw new TailDamagedError(upload.uploadId, `the catalog lists ${promised} bytes of tail where ${expected} belong`);
  }
  const chunks: Buffer[] = [];
  for (const segment of tail)
    chunks.push(await withS3Retry(clock, () => loadSegment(storage, upload.uploadId, segment)));
  return chunks;
}

async function loadSegment(
  storage: Pick<ObjectStorage, 'getObject'>,
  uploadId: string,
  segment: TailSegment,
): Promise<Buffer> {
  const opened = await storage.getObject(segment.objectKey);
  if (opened === null)
    throw new TailDamagedError(uploadId, `tail segment ${segment.sequence} is missing in the bucket`);
  const bytes = await readAll(opened.body);
  if (bytes.length !== segment.bytes) {
    throw new TailDamagedError(
      uploadId,
      `tail segment ${segment.sequence} has ${bytes.length} bytes in the bucket, ${segment.bytes} in the catalog`,
    );
  }
  return bytes;
}

async function readAll(body: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of body) chunks.push(chunk);
  } catch (error) {
    throw new S3Error('GetObject', 'BodyCut', null, 'unknown', { cause: error });
  }
  return Buffer.concat(chunks);
}
