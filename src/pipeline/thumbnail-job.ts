import type { FileCatalog, FileRecord, FileVariant } from '../catalog/file-catalog.ts';
import { thumbnailKey } from '../catalog/thumbnail-keys.ts';
import type { ObjectStorage } from '../s3/object-storage.ts';
import type { EventBus } from './event-bus.ts';
import type { RunningJob } from './job-queue.ts';
import type { MachineLock } from './machine-lock.ts';
import type { JobData } from './queues.ts';
import type { ThumbnailMaker } from './thumbnail-maker.ts';
import { ThumbnailWorkerDiedError } from './thumbnail-process.ts';
import {
  decodedTooBig,
  imageTooBig,
  LargeImageError,
  MAX_IMAGE_BYTES,
  type MadeThumbnails,
  type Thumbnail,
  UnusableImageError,
} from './thumbnail-terms.ts';

export interface ThumbnailJobParts {
  files: Pick<
    FileCatalog,
    'findFile' | 'setThumbnails' | 'setProblem' | 'discardOrphanedThumbnails' | 'beginDecoding' | 'endDecoding'
  >;
  storage: Pick<ObjectStorage, 'getObject' | 'putObject'>;
  maker: Pick<ThumbnailMaker, 'make'>;
  events: Pick<EventBus, 'publish'>;
  /** The operator's `IMAGE_BYTES`: images that take more to be decoded have no thumbnails. */
  imageBytes: number;
  /** Held while a large image is decoded, by one process of the machine at a time. */
  largeImageLock: Pick<MachineLock, 'take'>;
  /** Has {@link runLargeThumbnailJob} run for it. */
  enqueueLarge(fileId: string): Promise<void>;
  /** Called after a commit that wrote discards. */
  kickDiscards(): void;
}

/** What takes more to be decoded waits for its turn: of such images a machine decodes one at a time. */
export const SMALL_IMAGE_BYTES = 64 * 1024 * 1024;
/** Decodings of one image that came to no end, the last of them for lack of memory: it would be so every time. */
const MEMORY_DEATHS = 2;
/** The same, however they ended: a crash of the decoder, or of the whole server. */
const DEATHS = 4;

/** A thumbnail never changes: its key belongs to one upload, and an upload's bytes are what they are. */
const CACHE_CONTROL = 'public, max-age=31536000, immutable';
const GAVE_UP = 'No preview: it could not be made, although it was tried many times.';
const TOO_MUCH_MEMORY = 'No preview: the image takes too much memory to read.';
const CRASHED = 'No preview: the image could not be read, its decoder crashed again and again.';

type ThumbnailJob = RunningJob<JobData['thumbnail'] | JobData['thumbnail-large']>;

/**
 * Makes a file's thumbnails, or records why there are none; an image that is large by its header is left to
 * {@link runLargeThumbnailJob}. May run twice, also at the same time: both runs store the same bytes under the same keys,
 * and record the same rows.
 *
 * @throws S3Error, DatabaseUnavailableError and whatever else may pass: the queue tries again
 */
export async function runThumbnailJob(job: ThumbnailJob, parts: ThumbnailJobParts): Promise<void> {
  const { fileId } = job.data;
  try {
    await makeAndRecord(job, Math.min(SMALL_IMAGE_BYTES, parts.imageBytes), parts);
  } catch (error) {
    if (!(error instanceof LargeImageError)) throw error;
    if (error.size.decodedBytes <= parts.imageBytes) await parts.enqueueLarge(fileId);
    else await recordProblem(fileId, decodedTooBig(error.size, parts.imageBytes).problem, parts);
  }
}

/** The same for a large image, when no other process of the machine decodes one. Nothing of it is held while it waits. */
export async function runLargeThumbnailJob(job: ThumbnailJob, parts: ThumbnailJobParts): Promise<void> {
  const letGo = await parts.largeImageLock.take(job.signal);
  try {
    await makeAndRecord(job, parts.imageBytes, parts);
  } catch (error) {
    // The setting may have changed since it was enqueued.
    if (!(error instanceof LargeImageError)) throw error;
    await recordProblem(job.data.fileId, decodedTooBig(error.size, parts.imageBytes).problem, parts);
  } finally {
    letGo();
  }
}

/** @throws LargeImageError when decoding would take more than `decodeUpToBytes` */
async function makeAndRecord(
  { data: { fileId }, signal }: ThumbnailJob,
  decodeUpToBytes: number,
  parts: ThumbnailJobParts,
): Promise<void> {
  const file = await parts.files.findFile(fileId);
  if (file === null) return leaveNothingBehind(fileId, parts);
  if (!file.thumbnailsPending) {
    // An earlier run got this far; whether it could still tell the page is not known.
    parts.events.publish({ type: 'thumbnails', fileId });
    return;
  }
  try {
    if (file.bytes > MAX_IMAGE_BYTES) throw imageTooBig(file.bytes);
    const made = await decode(file, decodeUpToBytes, parts, signal);
    const variants: FileVariant[] = [];
    for (const thumbnail of made.thumbnails) {
      // What is stored long after this look would come after the last look for it: a process may have been paused.
      if ((await parts.files.findFile(fileId)) === null) return leaveNothingBehind(fileId, parts);
      variants.push(await storeThumbnail(file, thumbnail, parts.storage, signal));
    }
    if (await parts.files.setThumbnails(fileId, { width: made.width, height: made.height, variants })) {
      parts.events.publish({ type: 'thumbnails', fileId });
    } else {
      parts.kickDiscards();
    }
  } catch (error) {
    if (!(error instanceof UnusableImageError)) throw error;
    await recordProblem(fileId, error.problem, parts);
  }
}

/**
 * Counts before it begins: an image that takes the whole server along is not tried for ever either.
 *
 * @throws UnusableImageError also when decoding it has failed to come to an end too often
 */
async function decode(
  file: FileRecord,
  decodeUpToBytes: number,
  { files, storage, maker }: ThumbnailJobParts,
  signal: AbortSignal,
): Promise<MadeThumbnails> {
  const unfinished = (await files.beginDecoding(file.fileId)) ?? 1;
  if (unfinished > DEATHS) throw new UnusableImageError(CRASHED);
  let isDead = false;
  try {
    const image = { bytes: file.bytes, body: readImage(file, storage, signal) };
    return await maker.make(image, decodeUpToBytes, signal);
  } catch (error) {
    if (error instanceof ThumbnailWorkerDiedError && error.end !== 'closed') {
      isDead = true;
      if (error.end === 'memory' && unfinished >= MEMORY_DEATHS)
        throw new UnusableImageError(TOO_MUCH_MEMORY, { cause: error });
      if (unfinished >= DEATHS) throw new UnusableImageError(CRASHED, { cause: error });
    }
    throw error;
  } finally {
    if (!isDead) await files.endDecoding(file.fileId);
  }
}

/** The dead letter: every try has failed. */
export async function runThumbnailFailedJob(
  { data: { fileId } }: RunningJob<JobData['thumbnail-failed']>,
  parts: ThumbnailJobParts,
): Promise<void> {
  if ((await parts.files.findFile(fileId)) === null) return leaveNothingBehind(fileId, parts);
  await recordProblem(fileId, GAVE_UP, parts);
}

/** As many bytes as the record says. @throws when the object has more or fewer */
async function* readImage(
  file: FileRecord,
  storage: ThumbnailJobParts['storage'],
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const object = await storage.getObject(file.objectKey, undefined, { signal });
  // Deleted since we looked, or lost: the next try sees which.
  if (object === null) throw new Error(`there is no object ${file.objectKey}`);
  let bytes = 0;
  for await (const chunk of object.body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > file.bytes) break;
    yield chunk;
  }
  if (bytes !== file.bytes) {
    throw new Error(`the object ${file.objectKey} gave ${bytes} bytes or more, the record says ${file.bytes}`);
  }
}

async function storeThumbnail(
  file: FileRecord,
  { size, bytes, width, height }: Thumbnail,
  storage: ThumbnailJobParts['storage'],
  signal: AbortSignal,
): Promise<FileVariant> {
  signal.throwIfAborted();
  const objectKey = thumbnailKey(file.objectKey, size);
  const headers = { contentType: 'image/webp', contentDisposition: 'inline', cacheControl: CACHE_CONTROL };
  await storage.putObject(objectKey, { bytes: bytes.length, read: () => [bytes] }, headers, { signal });
  return { size, objectKey, bytes: bytes.length, width, height };
}

async function recordProblem(fileId: string, problem: string, parts: ThumbnailJobParts): Promise<void> {
  if (await parts.files.setProblem(fileId, problem)) parts.events.publish({ type: 'thumbnails', fileId });
}

/** The file has been deleted; an earlier run may have stored thumbnails of which no record speaks. */
async function leaveNothingBehind(fileId: string, parts: ThumbnailJobParts): Promise<void> {
  await parts.files.discardOrphanedThumbnails(fileId);
  parts.kickDiscards();
}
