/**
 * The tail: bytes past the last whole part, kept as one small object per PATCH ("segments") until a part takes them up,
 * or a later segment does (tail-tiers.ts).
 * A segment is discarded only by the commit that stops needing it (V5); its key holds the writer's token, so that a
 * late write of a fenced writer is an orphan and never an overwrite.
 */
import type { TailSegment } from '../catalog/upload-catalog.ts';
import type { UploadRecord } from '../catalog/upload-record.ts';
import { RelayError } from '../errors.ts';
import type { CallOptions, ObjectStorage } from '../s3/object-storage.ts';
import { S3Error } from '../s3/s3-errors.ts';
import type { HeldPayload } from './held-payload.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { MergeBuffer } from './merge-buffer.ts';
import { tailBytes } from './part-plan.ts';
import type { S3Retry } from './s3-retry.ts';
import { SpillSpaceError } from './spill-store.ts';
import type { TailMemory } from './tail-memory.ts';

/** @param sequence never used before with this token: the key of a segment that is discarded is not another one's */
export function segmentKey(objectKey: string, token: string, sequence: number): string {
  return `${objectKey}.tail/${token}/${sequence}`;
}

/** The bucket does not hold what the catalog says it holds. */
export class TailDamagedError extends Error {
  override readonly name = 'TailDamagedError';
  /** What is wrong, without the upload's name. */
  readonly what: string;

  constructor(uploadId: string, what: string) {
    super(`upload ${uploadId}: ${what}`);
    this.what = what;
  }
}

/** A tail is too large for what is left of the memory, and the disk is full: for now. */
export class MemorySpentError extends RelayError {
  override readonly name = 'MemorySpentError';

  constructor(cause: Error) {
    super('memory_spent', 503, 'there is no room for the bytes that this request continues', { cause });
  }
}

/** What segments are read with. */
export interface SegmentSources {
  storage: Pick<ObjectStorage, 'getObject'>;
  retry: S3Retry;
  budget: MemoryBudget;
  /** What this node remembers of them need not be fetched. */
  tails: Pick<TailMemory, 'take'>;
}

/** @throws TailDamagedError when the tail is not exactly what lies between the last whole part and the offset */
export function demandWholeTail(upload: UploadRecord, tail: readonly TailSegment[]): void {
  const listed = totalBytes(tail);
  const expected = tailBytes(upload.offsetBytes, upload.partBytes);
  if (listed === expected) return;
  throw new TailDamagedError(upload.uploadId, `the catalog lists ${listed} bytes of tail where ${expected} belong`);
}

/**
 * The bytes of segments, in order: what is remembered, and what lies between the first and the last that are not, in
 * one piece.
 *
 * @returns memory of the budget (or a spilled file) that the caller releases
 * @throws S3Error, TailDamagedError, MemorySpentError
 */
export async function openSegments(
  sources: SegmentSources,
  uploadId: string,
  segments: readonly TailSegment[],
): Promise<HeldPayload[]> {
  const remembered = sources.tails.take(
    uploadId,
    segments.map((segment) => segment.objectKey),
  );
  const first = remembered.indexOf(null);
  const end = remembered.lastIndexOf(null) + 1;
  const isHeld = (payload: HeldPayload | null) => payload !== null;
  if (first === -1) return remembered.filter(isHeld);
  const between = remembered.slice(first, end);
  try {
    const loaded = await loadSegments(sources, uploadId, segments.slice(first, end), between);
    for (const payload of between) payload?.release();
    return [...remembered.slice(0, first).filter(isHeld), loaded, ...remembered.slice(end).filter(isHeld)];
  } catch (error) {
    for (const payload of remembered) payload?.release();
    throw error;
  }
}

/**
 * Into one buffer, since whoever holds memory of the reserve may not wait for more of it.
 *
 * @param remembered by segment; null: to be fetched
 */
async function loadSegments(
  { storage, retry, budget }: SegmentSources,
  uploadId: string,
  segments: readonly TailSegment[],
  remembered: readonly (HeldPayload | null)[],
): Promise<MergeBuffer> {
  const bytes = totalBytes(segments);
  const loadInto = async (buffer: MergeBuffer): Promise<MergeBuffer> => {
    try {
      for (const [place, segment] of segments.entries()) {
        const payload = remembered[place];
        if (payload) for await (const chunk of payload.read()) await buffer.append(chunk);
        else await loadSegment(storage, retry, uploadId, segment, buffer);
      }
      return buffer;
    } catch (error) {
      buffer.release();
      throw error;
    }
  };
  try {
    return await loadInto(await MergeBuffer.open(budget, bytes));
  } catch (error) {
    if (!(error instanceof SpillSpaceError)) throw error;
    // It belongs into a file, but without one the upload would stand still as long as the disk is full.
    const buffer = await MergeBuffer.openInMemory(budget, bytes);
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
  retry: S3Retry,
  uploadId: string,
  segment: TailSegment,
  into: MergeBuffer,
): Promise<void> {
  const start = into.bytes;
  await retry.run((options) => loadRest(storage, uploadId, segment, into.bytes - start, into, options));
}

/** @param loaded bytes of the segment that are in the buffer already */
async function loadRest(
  storage: Pick<ObjectStorage, 'getObject'>,
  uploadId: string,
  segment: TailSegment,
  loaded: number,
  into: MergeBuffer,
  options: CallOptions,
): Promise<void> {
  const opened = await storage.getObject(segment.objectKey, undefined, options);
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
      options.onProgress?.(read);
    }
  } catch (error) {
    if (error instanceof SpillSpaceError) throw error;
    throw new S3Error('GetObject', 'BodyCut', null, 'unknown', { cause: error });
  }
  if (read !== segment.bytes) throw new S3Error('GetObject', 'BodyCut', null, 'unknown');
}

function totalBytes(segments: readonly TailSegment[]): number {
  return segments.reduce((sum, segment) => sum + segment.bytes, 0);
}
