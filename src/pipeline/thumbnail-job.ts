import type { FileCatalog, FileRecord, FileVariant } from '../catalog/file-catalog.ts';
import { thumbnailKey } from '../catalog/thumbnail-keys.ts';
import type { ObjectStorage } from '../s3/object-storage.ts';
import type { EventBus } from './event-bus.ts';
import type { RunningJob } from './job-queue.ts';
import type { JobData } from './queues.ts';
import type { ThumbnailMaker } from './thumbnail-maker.ts';
import { imageTooBig, MAX_IMAGE_BYTES, type Thumbnail, UnusableImageError } from './thumbnail-terms.ts';

export interface ThumbnailJobParts {
  files: Pick<FileCatalog, 'findFile' | 'setThumbnails' | 'setProblem' | 'discardOrphanedThumbnails'>;
  storage: Pick<ObjectStorage, 'getObject' | 'putObject'>;
  maker: Pick<ThumbnailMaker, 'make'>;
  events: Pick<EventBus, 'publish'>;
  /** Called after a commit that wrote discards. */
  kickDiscards(): void;
}

/** A thumbnail never changes: its key belongs to one upload, and an upload's bytes are what they are. */
const CACHE_CONTROL = 'public, max-age=31536000, immutable';
const GAVE_UP = 'No preview: it could not be made, although it was tried many times.';

/**
 * Makes a file's thumbnails, or records why there are none. May run twice, also at the same time: both runs store the
 * same bytes under the same keys, and record the same rows.
 *
 * @throws S3Error, DatabaseUnavailableError and whatever else may pass: the queue tries again
 */
export async function runThumbnailJob(
  { data: { fileId }, signal }: RunningJob<JobData['thumbnail']>,
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
    const image = { bytes: file.bytes, body: readImage(file, parts.storage, signal) };
    const made = await parts.maker.make(image, signal);
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
