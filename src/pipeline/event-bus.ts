/** Live events of uploads and files, for `GET /api/events`. */
import type { EndedUpload } from '../catalog/upload-catalog.ts';

export type FileEvent =
  | { type: 'progress'; uploadId: string; offset: number; length: number | null }
  | { type: 'finished'; fileId: string }
  /** The upload has ended, and there is no file. */
  | { type: 'ended'; uploadId: string; state: EndState }
  | { type: 'thumbnails'; fileId: string }
  | { type: 'deleted'; fileId: string }
  /** Some events will never be told: whoever listens has to look at everything anew. */
  | { type: 'missed' };

/** How an upload ends that does not become a file. */
export type EndState = EndedUpload['state'];
export const END_STATES: readonly EndState[] = ['terminated', 'expired', 'lost', 'failed'];

export interface EventBus {
  /** Never throws: an event that nobody hears is no failure, the catalog is the truth. */
  publish(event: FileEvent): void;
  /** @returns a function that ends the subscription */
  subscribe(listener: (event: FileEvent) => void): () => void;
}

/** A file's id is its upload's. */
export function uploadIdOf(event: Exclude<FileEvent, { type: 'missed' }>): string {
  return 'uploadId' in event ? event.uploadId : event.fileId;
}

/** What is to be told of an upload that a commit has ended. */
export function eventOfEnd({ uploadId, state, hadFile }: EndedUpload): FileEvent {
  return hadFile ? { type: 'deleted', fileId: uploadId } : { type: 'ended', uploadId, state };
}
