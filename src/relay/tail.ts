/**
 * The tail: bytes past the last whole part, kept as one small object per PATCH ("segments") until a part takes them up.
 * A segment is discarded only by the commit that stops needing it (V5); its key holds the writer's token, so that a
 * late write of a fenced writer is an orphan and never an overwrite.
 */
import type { TailSegment } from '../catalog/upload-catalog.ts';
import type { UploadRecord } from '../catalog/upload-record.ts';
import { RelayError } from '../errors.ts';
import type { ObjectStorage } from '../s3/object-storage.ts';
import { S3Error } from '../s3/s3-errors.ts';
import type { Clock } from './clock.ts';
import type { HeldPayload } from './held-payload.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { MergeBuffer } from './merge-buffer.ts';
import { tailBytes } from './part-plan.ts';
import { withS3Retry } from './s3-retry.ts';
import { SpillSpaceError } from './spill-store.ts';

/** With this many segments the next PATCH rewrites them as one. */
export const MAX_TAIL_SEGMENTS = 64;

/** @param sequence never used before with this token: the key of a segment that is discarded is not another one's */
export function segmentKey(objectKey: string, token: string, sequence: number): string {
  return `${objectKey}.tail/${token}/${sequence}`;
}

/** The bucket does not hold what the catalog says it holds. */
export class TailDamagedError extends RelayError {
  override readonly name = 'TailDamagedError';

  constructor(uploadId: string, message: string) {
    super('upload_damaged', 500, `upload ${uploadId}: ${message}`);
  }
}

/** A tail is too large for what is left of the memory, and the disk is full: for now. */
export class MemorySpentError extends RelayError {
  override readonly name = 'MemorySpentError';

  constructor(cause: Error) {
    super('memory_spent', 503, 'there is no room for the bytes that this request continues', { cause });
  }
}

/**
 * Loads the tail's bytes, in order: exactly as many as the upload's offset says.
 *
 * @returns memory of the budget (or a spilled file) that the caller releases
 * @throws S3Error, TailDamagedError, MemorySpentError
 */
export async function loadTail(
  storage: Pick<ObjectStorage, 'getObject'>,
  clock: Clock,
  budget: MemoryBudget,
  upload: UploadRecord,
  tail: readonly TailSegment[],
): Promise<HeldPayload> {
  const promised = tail.reduce((sum, segment) => sum + segment.bytes, 0);
  const expected = tailBytes(upload.offsetBytes, upload.partBytes);
  if (promised !== expected) {
    throw new TailDamagedError(upload.uploadId, `the catalog lists ${promised} bytes of tail where ${expected} belong`);
  }
  const loadInto = async (buffer: MergeBuffer): Promise<HeldPayload> => {
    try {
      for (const segment of tail) await loadSegment(storage, clock, upload.uploadId, segment, buffer);
      return buffer;
    } catch (error) {
      buffer.release();
      throw error;
    }
  };
  try {
    return await loadInto(await MergeBuffer.open(budget, promised));
  } catch (error) {
    if (!(error instanceof SpillSpaceError)) throw error;
    // It belongs into a file, but without one the upload would stand still as long as the disk is full.
    const buffer = await MergeBuffer.openInMemory(budget, promised);
    if (buffer === null) throw new MemorySpentError(error);
    return await loadInto(buffer);
  }
}

/**
 * Repeated by itself, and goes on with the byte at which it was cut off. Were the whole tail fetched again for each
 * segment that fails, then of many segments one would always fail on a bad day of S3, and the upload could not go on.
 */
async function loadSegment(
  storage: Pick<ObjectStorage, 'getObject'>,
  clock: Clock,
  uploadId: string,
  segment: TailSegment,
  into: MergeBuffer,
): Promise<void> {
  const start = into.bytes;
  await withS3Retry(clock, () => loadRest(storage, uploadId, segment, into.bytes - start, into));
}

/** @param loaded bytes of the segment that are in the buffer already */
async function loadRest(
  storage: Pick<ObjectStorage, 'getObject'>,
  uploadId: string,
  segment: TailSegment,
  loaded: number,
  into: MergeBuffer,
): Promise<void> {
  const opened = await storage.getObject(segment.objectKey);
  if (opened === null) {
    throw new TailDamagedError(uploadId, `tail segment ${segment.sequence} is missing in the bucket`);
  }
  if (opened.bytes !== segment.bytes) {
    opened.body.destroy();
    throw new TailDamagedError(
      uploadId,
      `tail segment ${segment.sequence} has ${opened.bytes} bytes in the bucket, ${segment.bytes} in the catalog`,
    );
  }
  let read = 0;
  try {
    for await (const chunk of opened.body as AsyncIterable<Buffer>) {
      const fresh = chunk.subarray(Math.max(0, loaded - read));
      read += chunk.length;
      if (read <= segment.bytes) await into.append(fresh);
    }
  } catch (error) {
    if (error instanceof SpillSpaceError) throw error;
    throw new S3Error('GetObject', 'BodyCut', null, 'unknown', { cause: error });
  }
  if (read !== segment.bytes) throw new S3Error('GetObject', 'BodyCut', null, 'unknown');
}
