import { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { type Valve, valveOf } from './connection-valve.ts';
import type { EarlyBytes } from './early-bytes.ts';
import { freeMemory } from './free-memory.ts';

/**
 * How a request's body came to its end.
 *
 * complete: the message is whole. cut: the connection is gone. stopped: we were asked to let go (another request waits
 * for the upload, or the server is shutting down). idle: nothing arrived for too long.
 */
export type BodyEnd = 'complete' | 'cut' | 'stopped' | 'idle';

/** A request's body: an `IncomingMessage`, or any Readable (whose end is then the whole message). */
export type BodySource = Readable & { readonly complete?: boolean };

export interface RequestBody {
  source: BodySource;
  /** Content-Length; null when the request has none. */
  declaredBytes: number | null;
  /** Reading ends when it aborts; what has arrived is stored all the same. */
  stop: AbortSignal;
  /** Aborts when the client's connection is gone. */
  gone?: AbortSignal;
  /** Aborts when the process is to end soon. */
  ending?: AbortSignal;
  /** What came along with the headers; left out: it is in the source. */
  early?: EarlyBytes;
}

const NOTHING = Buffer.alloc(0);

/**
 * Is there a byte in a body that should have none? One that does not say so is read up to its first byte.
 *
 * @returns false also when the body has not come to its end: nothing is known of what it has not sent
 */
export async function hasBytes({ declaredBytes, source, stop, early }: RequestBody, idleMs: number): Promise<boolean> {
  if (declaredBytes !== null) return declaredBytes > 0;
  using reader = new BodyReader(source, idleMs, stop, early ?? null);
  return (await reader.next()) !== null;
}

/**
 * Takes a body chunk by chunk straight from Node's stream, and says how it ended. Unlike `for await` it leaves the
 * stream alive when we stop early, since an answer is still to be sent on the same socket, and it copies nothing.
 * The connection is read from only while someone waits for a chunk: no budget counts what would wait here.
 *
 * Idle time runs only then, too: a client is not to blame while we are the ones not reading.
 */
export class BodyReader implements Disposable {
  readonly #source: BodySource;
  readonly #idleMs: number;
  readonly #stop: AbortSignal;
  readonly #early: EarlyBytes | null;
  readonly #valve: Valve;
  readonly #queue: Buffer[] = [];
  #end: BodyEnd | null = null;
  #wake: (() => void) | null = null;
  #interrupted = false;
  /** How long somebody has waited for a chunk since the last one came, interruptions left out. */
  #silentMs = 0;

  /**
   * @param idleMs longest silence of the client, in milliseconds
   * @param stop reading ends at once when it aborts; what has been read before is still given out
   * @param early what came along with the headers; null: it is in the source
   */
  constructor(source: BodySource, idleMs: number, stop: AbortSignal, early: EarlyBytes | null = null) {
    this.#source = source;
    this.#idleMs = idleMs;
    this.#stop = stop;
    this.#early = early;
    this.#valve = early?.valve ?? valveOf(source);
    source.on('data', this.#onData);
    source.on('end', this.#onEnd);
    source.on('close', this.#onClose);
    source.on('error', this.#onClose);
    stop.addEventListener('abort', this.#onStop);
    if (stop.aborted) this.#onStop();
    else if (source.readableEnded) this.#onEnd();
    else if (source.destroyed) this.#onClose();
  }

  /** As it was given. */
  get stop(): AbortSignal {
    return this.#stop;
  }

  /** Set once {@link next} has given null. */
  get end(): BodyEnd | null {
    return this.#end;
  }

  /** Is there, or may there come, another byte? When not, {@link next} gives null without reading. */
  get mayBringBytes(): boolean {
    if (this.#queue.length > 0 || this.#source.readableLength > 0 || this.#early?.areThere) return true;
    return this.#end === null && this.#source.complete !== true;
  }

  /** @returns the next chunk, empty only after {@link interrupt}; null at the end, see {@link end} */
  async next(): Promise<Buffer | null> {
    for (;;) {
      if (this.#interrupted) {
        this.#interrupted = false;
        return NOTHING;
      }
      const chunk = this.#queue.shift();
      if (chunk !== undefined) return chunk;
      if (this.#early?.areThere && this.#end !== 'stopped') {
        const early = await this.#early.take();
        if (early !== null) return early;
        continue;
      }
      if (this.#end !== null) return null;
      await this.#somethingHappens();
    }
  }

  /** Frees a chunk that {@link next} gave out: see {@link freeMemory}. */
  free(chunk: Buffer): void {
    // Whatever else a body comes from, its chunks may be somebody else's too. A request's are memory of their own.
    const isOwn = this.#source instanceof IncomingMessage && chunk.buffer.byteLength === chunk.length;
    // An interruption's empty chunk is given out again and again.
    if (isOwn && chunk.length > 0) freeMemory(chunk.buffer);
  }

  /**
   * The reader has something else to do: its next (or waiting) call of {@link next} comes back without a chunk, and
   * nothing is read from this moment on.
   */
  interrupt(): void {
    this.#interrupted = true;
    this.#valve.close();
    this.#wake?.();
  }

  /** Lets go of the stream without destroying it. */
  [Symbol.dispose](): void {
    this.#source.off('data', this.#onData);
    this.#source.off('end', this.#onEnd);
    this.#source.off('close', this.#onClose);
    // The error listener stays: a reset after we have let go must not become an uncaught exception.
    this.#stop.removeEventListener('abort', this.#onStop);
    this.#valve.release();
    this.#finish('stopped');
  }

  async #somethingHappens(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    this.#valve.open();
    const sinceMs = performance.now();
    const timer = setTimeout(() => this.#finish('idle'), this.#idleMs - this.#silentMs);
    await promise;
    clearTimeout(timer);
    this.#wake = null;
    this.#silentMs = this.#queue.length > 0 ? 0 : this.#silentMs + performance.now() - sinceMs;
  }

  #finish(end: BodyEnd): void {
    this.#end ??= end;
    this.#wake?.();
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#end !== null || chunk.length === 0) return;
    this.#queue.push(chunk);
    this.#wake?.();
    this.#valve.closeUnlessOpened();
  };

  readonly #onEnd = (): void => this.#finish(this.#source.complete === false ? 'cut' : 'complete');

  readonly #onClose = (): void => this.#finishWithTheRest('cut');

  readonly #onStop = (): void => this.#finishWithTheRest('stopped');

  /** What is in the stream's own buffer has arrived, too. */
  #finishWithTheRest(end: BodyEnd): void {
    // Reading it gives it to #onData.
    while (this.#end === null && this.#source.readableLength > 0) if (this.#source.read() === null) break;
    this.#finish(end);
  }
}
