import { setTimeout as sleep } from 'node:timers/promises';
import type { Request, RequestHandler, Response } from 'express';
import { RelayError } from '../errors.ts';
import type { EventBus, FileEvent } from '../pipeline/event-bus.ts';
import { answerTo, sendError } from './error-response.ts';
import type { FileJson } from './file-json.ts';
import { isAboutFile, PendingEvents, type UploadEvent } from './pending-events.ts';

const HEARTBEAT_MS = 15_000;
/** What a browser waits before it connects again, and up to as much more, so that not all come at once. */
const RECONNECT_MS = 2_000;
/** A reader that lets so much pile up is cut off; it comes back and reads the list. */
const MAX_UNREAD_BYTES = 256 * 1024;
/** What happens within this time is told together: of each upload's progress only the last. */
const TURN_MS = 100;
/** After the files could not be looked up. */
const FAILURE_PAUSE_MS = 1_000;
/** Of one turn. Other progress waits for the next one, and is replaced meanwhile. */
const BATCH = { progress: 200, files: 250 };
/** Uploads that there is something to tell of. With more, the readers begin anew rather than hear of it minutes later. */
const MAX_PENDING = 10_000;

export interface EventStreamOptions {
  /** More are turned away. */
  maxReaders: number;
  heartbeatMs?: number;
  maxUnreadBytes?: number;
  turnMs?: number;
  /** Told once, until the lookups succeed again. */
  onFailure?: (error: unknown) => void;
}

/** For the metrics. */
export interface EventStreamFigures {
  readers: number;
  refusedReaders: number;
  cutReaders: number;
  pendingUploads: number;
}

/** As many as may listen to live events listen already. */
export class TooManyReadersError extends RelayError {
  override readonly name = 'TooManyReadersError';

  constructor() {
    super('too_many_readers', 503, 'as many as may listen to live events are listening already');
  }
}

/**
 * `GET /api/events`: server-sent events, each with JSON in `data`:
 *
 * - `progress` `{"uploadId", "offset", "length": number | null}`; offset and length are equal only when the object is there
 * - `finished`, `thumbnails` `{"file": as in GET /api/files/{id}}`
 * - `ended` `{"uploadId", "state": "terminated" | "expired" | "lost" | "failed"}`: the upload has not become a file
 * - `deleted` `{"id"}`
 *
 * The end of an upload is told to every reader that is connected then, and no progress after it. A reader who could not
 * be told everything (it was too slow, or events from other nodes were lost) is cut off. Nothing is repeated after a
 * break: who connects (again) reads the list of files then.
 *
 * One lookup and one text serve all readers. What waits is bounded by the number of uploads, whatever their pace.
 */
export class EventStream {
  readonly #findFiles: (fileIds: string[]) => Promise<Map<string, FileJson>>;
  readonly #options: Required<EventStreamOptions>;
  readonly #readers = new Set<Response>();
  readonly #pending = new PendingEvents();
  readonly #unsubscribe: () => void;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #closing = new AbortController();
  #isTelling = false;
  #isFailing = false;
  #refusedReaders = 0;
  #cutReaders = 0;

  /** @param findFiles by their ids; who is not in the answer is gone */
  constructor(
    bus: Pick<EventBus, 'subscribe'>,
    findFiles: (fileIds: string[]) => Promise<Map<string, FileJson>>,
    options: EventStreamOptions,
  ) {
    this.#findFiles = findFiles;
    this.#options = {
      ...{ heartbeatMs: HEARTBEAT_MS, maxUnreadBytes: MAX_UNREAD_BYTES, turnMs: TURN_MS, onFailure: () => {} },
      ...options,
    };
    this.#unsubscribe = bus.subscribe((event) => this.#hear(event));
    this.#heartbeat = setInterval(() => this.#send(': still here\n\n'), this.#options.heartbeatMs);
    this.#heartbeat.unref();
  }

  get figures(): EventStreamFigures {
    return {
      readers: this.#readers.size,
      refusedReaders: this.#refusedReaders,
      cutReaders: this.#cutReaders,
      pendingUploads: this.#pending.size,
    };
  }

  readonly handle: RequestHandler = (request: Request, response: Response) => {
    if (this.#readers.size >= this.#options.maxReaders) {
      this.#refusedReaders += 1;
      // Not through the log of failures: each of them asks again every few seconds.
      sendError(response, answerTo(new TooManyReadersError()));
      return;
    }
    response.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-store, no-transform',
      // nginx would hold events back until a buffer is full.
      'X-Accel-Buffering': 'no',
    });
    if (request.method === 'HEAD' || this.#closing.signal.aborted) {
      response.end();
      return;
    }
    response.write(`retry: ${Math.round(RECONNECT_MS * (1 + Math.random()))}\n\n`);
    this.#readers.add(response);
    response.once('close', () => this.#readers.delete(response));
    response.on('error', () => {}); // the reader is gone; 'close' follows
  };

  /** Ends every reader's stream. Safe to call twice. */
  close(): void {
    this.#closing.abort();
    this.#unsubscribe();
    clearInterval(this.#heartbeat);
    this.#pending.clear();
    for (const reader of this.#readers) reader.end();
    this.#readers.clear();
  }

  #hear(event: FileEvent): void {
    if (this.#readers.size === 0) return;
    if (event.type === 'missed') {
      this.#startAnew();
      return;
    }
    this.#pending.add(event);
    if (this.#pending.size > MAX_PENDING) this.#startAnew();
    else if (!this.#isTelling) void this.#tell();
  }

  /** Every reader comes back in a moment, and reads the list. */
  #startAnew(): void {
    this.#pending.clear();
    this.#cutReaders += this.#readers.size;
    for (const reader of this.#readers) reader.end();
    this.#readers.clear();
  }

  /** Turn by turn, until nothing is left. Never rejects. */
  async #tell(): Promise<void> {
    this.#isTelling = true;
    // What is published in one go is told in one turn.
    let pauseMs = 0;
    while (this.#pending.size > 0) {
      await sleep(pauseMs, undefined, { signal: this.#closing.signal, ref: false }).catch(() => {});
      if (this.#readers.size === 0) this.#pending.clear();
      const startedAt = performance.now();
      const isTold = await this.#tellSome(this.#pending.take(BATCH));
      pauseMs = isTold ? Math.max(0, startedAt + this.#options.turnMs - performance.now()) : FAILURE_PAUSE_MS;
    }
    this.#isTelling = false;
  }

  /** @returns false when the files could not be looked up: what is about files waits on */
  async #tellSome(events: UploadEvent[]): Promise<boolean> {
    const fileIds = [...new Set(events.filter(isAboutFile).map(({ fileId }) => fileId))];
    let files: Map<string, FileJson> | null = null;
    try {
      files = fileIds.length === 0 ? new Map() : await this.#findFiles(fileIds);
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) this.#options.onFailure(error);
      this.#isFailing = true;
      this.#pending.putBack(events.filter(isAboutFile));
    }
    const frames = events.map((event) => frameOf(event, files));
    this.#send(frames.join(''));
    return files !== null;
  }

  #send(text: string): void {
    if (text === '') return;
    // One buffer for all: what slow readers have not taken yet is held once.
    const bytes = Buffer.from(text);
    for (const reader of this.#readers) {
      if (reader.writableLength <= this.#options.maxUnreadBytes) {
        reader.write(bytes);
        continue;
      }
      this.#readers.delete(reader);
      this.#cutReaders += 1;
      reader.destroy();
    }
  }
}

/** @returns nothing when there is nothing to tell any more: the file is gone */
function frameOf(event: UploadEvent, files: ReadonlyMap<string, FileJson> | null): string {
  const data = dataOf(event, files);
  return data === null ? '' : `event: ${event.type}\ndata: ${JSON.stringify(data)}\n\n`;
}

function dataOf(event: UploadEvent, files: ReadonlyMap<string, FileJson> | null): object | null {
  switch (event.type) {
    case 'progress':
      return { uploadId: event.uploadId, offset: event.offset, length: event.length };
    case 'ended':
      return { uploadId: event.uploadId, state: event.state };
    case 'deleted':
      return { id: event.fileId };
    default: {
      const file = files?.get(event.fileId);
      return file === undefined ? null : { file };
    }
  }
}
