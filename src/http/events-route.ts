import type { Request, RequestHandler, Response } from 'express';
import type { EventBus, FileEvent } from '../pipeline/event-bus.ts';
import type { FileJson } from './file-json.ts';

const HEARTBEAT_MS = 15_000;
/** What a browser waits before it connects again, with the server gone. */
const RECONNECT_MS = 2_000;
/** A reader that lets so much pile up is cut off; it comes back and reads the list. */
const MAX_UNREAD_BYTES = 256 * 1024;

export interface EventStreamOptions {
  heartbeatMs?: number;
  maxUnreadBytes?: number;
  onFailure?: (error: unknown) => void;
}

/**
 * `GET /api/events`: server-sent events, each with JSON in `data`:
 *
 * - `progress` `{"uploadId", "offset", "length": number | null}`; offset and length are equal only when the object is there
 * - `finished`, `thumbnails` `{"file": as in GET /api/files/{id}}`
 * - `deleted` `{"id"}`
 *
 * Nothing is repeated after a break: a client that connects (again) reads the list of files then. One lookup and one
 * text serve all who listen, in the order in which the events happened.
 */
export class EventStream {
  readonly #findFile: (fileId: string) => Promise<FileJson | null>;
  readonly #options: Required<EventStreamOptions>;
  readonly #readers = new Set<Response>();
  readonly #unsubscribe: () => void;
  readonly #heartbeat: NodeJS.Timeout;
  /** Settles when every event so far is written. */
  #written: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(
    bus: Pick<EventBus, 'subscribe'>,
    findFile: (fileId: string) => Promise<FileJson | null>,
    options: EventStreamOptions = {},
  ) {
    this.#findFile = findFile;
    this.#options = { heartbeatMs: HEARTBEAT_MS, maxUnreadBytes: MAX_UNREAD_BYTES, onFailure: () => {}, ...options };
    this.#unsubscribe = bus.subscribe((event) => this.#enqueue(event));
    this.#heartbeat = setInterval(() => this.#send(': still here\n\n'), this.#options.heartbeatMs);
    this.#heartbeat.unref();
  }

  get readerCount(): number {
    return this.#readers.size;
  }

  readonly handle: RequestHandler = (request: Request, response: Response) => {
    response.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-store, no-transform',
      // nginx would hold events back until a buffer is full.
      'X-Accel-Buffering': 'no',
    });
    if (request.method === 'HEAD' || this.#closed) {
      response.end();
      return;
    }
    response.write(`retry: ${RECONNECT_MS}\n\n`);
    this.#readers.add(response);
    response.once('close', () => this.#readers.delete(response));
    response.on('error', () => {}); // the reader is gone; 'close' follows
  };

  /** Ends every reader's stream. Safe to call twice. */
  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    clearInterval(this.#heartbeat);
    for (const reader of this.#readers) reader.end();
    this.#readers.clear();
  }

  #enqueue(event: FileEvent): void {
    if (this.#readers.size === 0) return;
    this.#written = this.#written.then(() => this.#write(event)).catch(this.#options.onFailure);
  }

  async #write(event: FileEvent): Promise<void> {
    const data = await this.#dataOf(event);
    if (data !== null) this.#send(`event: ${event.type}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  /** @returns null when there is nothing to tell any more: the file is gone */
  async #dataOf(event: FileEvent): Promise<object | null> {
    switch (event.type) {
      case 'progress':
        return { uploadId: event.uploadId, offset: event.offset, length: event.length };
      case 'deleted':
        return { id: event.fileId };
      default: {
        const file = await this.#findFile(event.fileId);
        return file === null ? null : { file };
      }
    }
  }

  #send(frame: string): void {
    for (const reader of this.#readers) {
      if (reader.write(frame) || reader.writableLength <= this.#options.maxUnreadBytes) continue;
      this.#readers.delete(reader);
      reader.destroy();
    }
  }
}
