import type { StoredFile } from './api.ts';

export type LiveState = 'connecting' | 'live' | 'reconnecting' | 'offline';

export interface LiveHandlers {
  /** Connected, for the first time or again: events before this moment were not heard, so read the list. */
  onConnected(): void;
  onState(state: LiveState): void;
  onFile(file: StoredFile, event: 'finished' | 'thumbnails'): void;
  onDeleted(fileId: string): void;
  /** The upload has ended, and has not become a file. */
  onEnded(uploadId: string): void;
  onProgress(uploadId: string, offset: number, length: number | null): void;
}

/** `EventSource` gives up for good when the answer is not a stream (a proxy's 502): from then on we try again. */
const RETRY_MS = 2_000;
/** A page that nobody sees gives its connection back: browsers allow six per server, for all tabs together. */
const HIDDEN_MS = 60_000;

/**
 * The server's live events (`GET /api/events`), connected again after every break, for as long as the page lives.
 */
export class LiveEvents {
  readonly #url: string;
  readonly #handlers: LiveHandlers;
  #source: EventSource | null = null;
  #retryTimer: number | undefined;
  #hiddenTimer: number | undefined;
  #state: LiveState = 'connecting';

  constructor(url: string, handlers: LiveHandlers) {
    this.#url = url;
    this.#handlers = handlers;
  }

  get state(): LiveState {
    return this.#state;
  }

  start(): void {
    window.addEventListener('online', () => this.#connect());
    window.addEventListener('offline', () => this.#setState('offline'));
    // A page that comes out of the back/forward cache has lost its connection without being told.
    window.addEventListener('pageshow', (event) => event.persisted && this.#connect());
    document.addEventListener('visibilitychange', () => this.#followVisibility());
    this.#connect();
  }

  #connect(): void {
    this.#disconnect();
    const source = new EventSource(this.#url);
    this.#source = source;
    source.addEventListener('open', () => {
      this.#setState('live');
      this.#handlers.onConnected();
    });
    source.addEventListener('error', () => {
      this.#setState(navigator.onLine ? 'reconnecting' : 'offline');
      if (source.readyState !== EventSource.CLOSED) return;
      this.#retryTimer = window.setTimeout(() => this.#connect(), RETRY_MS);
    });
    this.#listen<{ file: StoredFile }>('finished', ({ file }) => this.#handlers.onFile(file, 'finished'));
    this.#listen<{ file: StoredFile }>('thumbnails', ({ file }) => this.#handlers.onFile(file, 'thumbnails'));
    this.#listen<{ uploadId: string }>('ended', ({ uploadId }) => this.#handlers.onEnded(uploadId));
    this.#listen<{ id: string }>('deleted', ({ id }) => this.#handlers.onDeleted(id));
    this.#listen<{ uploadId: string; offset: number; length: number | null }>('progress', (progress) =>
      this.#handlers.onProgress(progress.uploadId, progress.offset, progress.length),
    );
  }

  #disconnect(): void {
    clearTimeout(this.#retryTimer);
    this.#source?.close();
    this.#source = null;
  }

  #listen<Data>(type: string, handle: (data: Data) => void): void {
    this.#source?.addEventListener(type, (event) => handle(JSON.parse(event.data)));
  }

  #followVisibility(): void {
    clearTimeout(this.#hiddenTimer);
    if (document.visibilityState === 'hidden') {
      this.#hiddenTimer = window.setTimeout(() => this.#disconnect(), HIDDEN_MS);
    } else if (this.#source === null) {
      this.#connect();
    }
  }

  #setState(state: LiveState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#handlers.onState(state);
  }
}
