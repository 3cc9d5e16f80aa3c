import type { FileEvent } from './event-bus.ts';

/** Beyond it the oldest are forgotten: events are hints, and the browser that missed one reads the list. */
const MAX_WAITING = 2_000;

/** What other nodes have still to be told, without what later events made superfluous. */
export class EventOutbox {
  /** By upload, the last one only. */
  readonly #progress = new Map<string, FileEvent>();
  readonly #others = new Map<string, FileEvent>();

  add(event: FileEvent): void {
    if (event.type === 'progress') {
      put(this.#progress, event.uploadId, event);
    } else {
      // The file's id is the upload's: its progress would arrive after its end.
      this.#progress.delete(event.fileId);
      put(this.#others, `${event.type} ${event.fileId}`, event);
    }
  }

  takeProgress(): FileEvent[] {
    return takeAll(this.#progress);
  }

  takeOthers(): FileEvent[] {
    return takeAll(this.#others);
  }
}

function put(events: Map<string, FileEvent>, key: string, event: FileEvent): void {
  events.delete(key);
  events.set(key, event);
  if (events.size > MAX_WAITING) events.delete(events.keys().next().value as string);
}

function takeAll(events: Map<string, FileEvent>): FileEvent[] {
  const taken = [...events.values()];
  events.clear();
  return taken;
}
