/**
 * Has thumbnails made by other processes (thumbnail-process.ts), one image at a time each: an image that crashes the
 * decoder takes along its own process, and no other image's. They are started when there is something to do and end
 * after a while without it. An image passes through here chunk by chunk and is never held.
 */
import { type ImageBytes, ThumbnailProcess, ThumbnailWorkerDiedError } from './thumbnail-process.ts';
import { LargeImageError, type MadeThumbnails, UnusableImageError } from './thumbnail-terms.ts';

const MIB = 1024 * 1024;
/** Starting one takes a quarter of a second of CPU, keeping one 100 to 200 MB. */
const IDLE_MS = 60_000;
/** The decoder has a limit of its own, which it looks at now and then; this one it cannot miss. */
const MAKE_MS = 180_000;
/** A process that has decoded something has 90 MB, and decoding in rows takes up to 100 MB beside the image's own bytes. */
const PROCESS_BYTES = 192 * MIB;
/** By how much the decoder may exceed what the header says: it was 1.3 times at the most (decoded-bytes.ts). */
const DECODED_FACTOR = 1.5;
/** After a larger one the process is ended rather than kept: what it had is given back for certain. */
const KEPT_AFTER_BYTES = 64 * MIB;

export interface ThumbnailMakerLimits {
  idleMs: number;
  makeMs: number;
  /** Of a process, beside the image's bytes and what its decoding takes. */
  processBytes: number;
}

export class ThumbnailMaker {
  readonly #limits: ThumbnailMakerLimits;
  /** The one that was busy last is at the end. */
  readonly #idle: ThumbnailProcess[] = [];
  readonly #alive = new Set<ThumbnailProcess>();
  #isClosed = false;

  constructor(limits: ThumbnailMakerLimits = { idleMs: IDLE_MS, makeMs: MAKE_MS, processBytes: PROCESS_BYTES }) {
    this.#limits = limits;
  }

  /** Ids of the processes that there are at this moment. */
  get pids(): number[] {
    return [...this.#alive].flatMap(({ pid }) => pid ?? []);
  }

  /**
   * @param decodeUpToBytes what decoding may take
   * @throws UnusableImageError when the image is broken, no image, or past the limits
   * @throws LargeImageError when its header says that it needs more; nothing has been decoded
   * @throws ThumbnailWorkerDiedError, and what the body or the signal ends with: trying again may help
   */
  async make(image: ImageBytes, decodeUpToBytes: number, signal: AbortSignal): Promise<MadeThumbnails> {
    signal.throwIfAborted();
    const worker = this.#takeWorker();
    try {
      const made = await worker.make(image, signal, {
        decodeUpToBytes,
        memoryBytes: this.#limits.processBytes + image.bytes + DECODED_FACTOR * decodeUpToBytes,
        timeMs: this.#limits.makeMs,
      });
      this.#putBack(worker, decodeUpToBytes);
      return made;
    } catch (error) {
      if (error instanceof LargeImageError) this.#putBack(worker, 0);
      else if (error instanceof UnusableImageError) this.#putBack(worker, decodeUpToBytes);
      // Whatever else went wrong, it may be in the middle of something.
      else worker.kill('closed', 'it is of no use any more');
      throw error;
    }
  }

  /** Ends all processes, also those that work. Ends when they are gone. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const worker of this.#alive) worker.kill('closed', 'the server is closing');
    await Promise.all([...this.#alive].map((worker) => worker.gone));
  }

  #takeWorker(): ThumbnailProcess {
    if (this.#isClosed) {
      throw new ThumbnailWorkerDiedError('closed', 'no thumbnails are made any more: the server is closing');
    }
    const idle = this.#idle.pop();
    if (idle !== undefined) {
      idle.stayFor(null);
      return idle;
    }
    const worker = new ThumbnailProcess();
    this.#alive.add(worker);
    void worker.gone.then(() => {
      this.#alive.delete(worker);
      const place = this.#idle.indexOf(worker);
      if (place >= 0) this.#idle.splice(place, 1);
    });
    return worker;
  }

  #putBack(worker: ThumbnailProcess, decodedUpToBytes: number): void {
    if (!this.#alive.has(worker)) return;
    if (decodedUpToBytes > KEPT_AFTER_BYTES) {
      worker.kill('closed', 'it is not kept');
      return;
    }
    worker.stayFor(this.#limits.idleMs);
    this.#idle.push(worker);
  }
}
