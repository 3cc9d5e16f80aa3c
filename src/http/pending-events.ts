import { type FileEvent, uploadIdOf } from '../pipeline/event-bus.ts';

/** What is told of a single upload. */
export type UploadEvent = Exclude<FileEvent, { type: 'missed' }>;

/** How much of what waits is taken at a time. */
export interface BatchLimits {
  /** Events of progress. */
  progress: number;
  /** Files that have to be looked up. */
  files: number;
}

/**
 * What readers have still to be told, of each upload no more than is still worth telling: its last progress, or what came
 * after it. Uploads have their turn in the order in which they began to wait.
 */
export class PendingEvents {
  readonly #byUpload = new Map<string, UploadEvent[]>();

  /** How many uploads there is something to tell of. */
  get size(): number {
    return this.#byUpload.size;
  }

  add(event: UploadEvent): void {
    const uploadId = uploadIdOf(event);
    this.#byUpload.set(uploadId, withLater(this.#byUpload.get(uploadId) ?? [], event));
  }

  /** What could not be told after all: it comes before what has been added since. */
  putBack(events: readonly UploadEvent[]): void {
    for (const uploadId of new Set(events.map(uploadIdOf))) {
      const older = events.filter((event) => uploadIdOf(event) === uploadId);
      const newer = this.#byUpload.get(uploadId) ?? [];
      this.#byUpload.set(uploadId, newer.reduce(withLater, older));
    }
  }

  /** All of an upload together, and in its order; what exceeds the limits waits on. */
  take(limits: BatchLimits): UploadEvent[] {
    const left = { ...limits };
    const taken: UploadEvent[] = [];
    for (const [uploadId, events] of this.#byUpload) {
      const needs = events.some(({ type }) => type === 'progress')
        ? 'progress'
        : events.some(isAboutFile)
          ? 'files'
          : null;
      if (needs !== null && left[needs] === 0) continue;
      if (needs !== null) left[needs] -= 1;
      taken.push(...events);
      this.#byUpload.delete(uploadId);
    }
    return taken;
  }

  clear(): void {
    this.#byUpload.clear();
  }
}

/** Does it tell all that there is to know of a file? */
export function isAboutFile(event: FileEvent): event is Extract<FileEvent, { type: 'finished' | 'thumbnails' }> {
  return event.type === 'finished' || event.type === 'thumbnails';
}

/** What is still worth telling of an upload with one event more. */
function withLater(earlier: UploadEvent[], event: UploadEvent): UploadEvent[] {
  if (event.type === 'deleted') return [event];
  if (earlier.some(({ type }) => type === event.type && type !== 'progress')) return earlier;
  const told = earlier.filter(({ type }) => type !== 'progress');
  // Progress after the end would be late.
  return event.type === 'progress' && told.length > 0 ? told : [...told, event];
}
