import { type FileEvent, uploadIdOf } from './event-bus.ts';

const MAX_WAITING = 2_000;

/** What other nodes have still to be told, without what later events made superfluous. */
export class EventOutbox {
  /** By upload, the last one only. Of too many, those that have waited longest are forgotten. */
  readonly #progress = new Map<string, FileEvent>();
  /** Of too many nothing is left but that there were some. */
  readonly #others = new Map<string, FileEvent>();

  add(event: FileEvent): void {
    if (event.type === 'missed' || this.#others.has('missed')) {
      this.#forgetAll();
    } else if (event.type === 'progress') {
      put(this.#progress, event.uploadId, event);
      if (this.#progress.size > MAX_WAITING) this.#progress.delete(this.#progress.keys().next().value as string);
    } else {
      this.#progress.delete(uploadIdOf(event));
      put(this.#others, `${event.type} ${uploadIdOf(event)}`, event);
      if (this.#others.size > MAX_WAITING) this.#forgetAll();
    }
  }

  /** Its progress would arrive after its end, of which somebody else has told. */
  forgetProgress(uploadId: string): void {
    this.#progress.delete(uploadId);
  }

  takeProgress(): FileEvent[] {
    return takeAll(this.#progress);
  }

  takeOthers(): FileEvent[] {
    return takeAll(this.#others);
  }

  #forgetAll(): void {
    this.#progress.clear();
    this.#others.clear();
    this.#others.set('missed', { type: 'missed' });
  }
}

/** Behind all others. */
function put(events: Map<string, FileEvent>, key: string, event: FileEvent): void {
  events.delete(key);
  events.set(key, event);
}

function takeAll(events: Map<string, FileEvent>): FileEvent[] {
  const taken = [...events.values()];
  events.clear();
  return taken;
}
