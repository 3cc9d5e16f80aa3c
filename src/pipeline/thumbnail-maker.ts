/**
 * Has thumbnails made by other processes (thumbnail-worker.ts), one image at a time each: an image that crashes the
 * decoder takes along its own process, and no other image's. They are started when there is something to do and end
 * after a while without it. An image passes through here chunk by chunk and is never held.
 */
import { type ChildProcess, fork } from 'node:child_process';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { type MadeThumbnails, UnusableImageError } from './thumbnail-terms.ts';
import type { WorkerAnswer } from './thumbnail-worker.ts';

const PROGRAM = fileURLToPath(new URL('./thumbnail-worker.ts', import.meta.url));
/** Starting one takes a quarter of a second of CPU, keeping one 100 to 200 MB. */
const IDLE_MS = 60_000;
/** The decoder has a limit of its own, which it looks at now and then; this one it cannot miss. */
const MAKE_MS = 180_000;
/** What the decoder's process gets of the environment: none of the secrets. */
const KEPT_VARIABLES = [
  'PATH',
  'NODE_COMPILE_CACHE',
  'LD_LIBRARY_PATH',
  'LD_PRELOAD',
  'MALLOC_ARENA_MAX',
  'TMPDIR',
  'TEMP',
  'SystemRoot',
];

/** The process that worked at the image is gone. The image may be the reason, or somebody who ends processes. */
export class ThumbnailWorkerDiedError extends Error {
  override readonly name = 'ThumbnailWorkerDiedError';
}

export interface ImageBytes {
  readonly bytes: number;
  /** Exactly as many; the first failure ends the making. */
  readonly body: AsyncIterable<Buffer>;
}

export interface ThumbnailMakerLimits {
  idleMs: number;
  makeMs: number;
}

export class ThumbnailMaker {
  readonly #limits: ThumbnailMakerLimits;
  /** The one that was busy last is at the end. */
  readonly #idle: ThumbnailWorker[] = [];
  readonly #alive = new Set<ThumbnailWorker>();
  #isClosed = false;

  constructor(limits: ThumbnailMakerLimits = { idleMs: IDLE_MS, makeMs: MAKE_MS }) {
    this.#limits = limits;
  }

  /** Ids of the processes that there are at this moment. */
  get pids(): number[] {
    return [...this.#alive].flatMap(({ pid }) => pid ?? []);
  }

  /**
   * @throws UnusableImageError when the image is broken, no image, or past the limits
   * @throws ThumbnailWorkerDiedError, and what the body or the signal ends with: trying again may help
   */
  async make(image: ImageBytes, signal: AbortSignal): Promise<MadeThumbnails> {
    signal.throwIfAborted();
    const worker = this.#takeWorker();
    try {
      const made = await worker.make(image, signal, this.#limits.makeMs);
      this.#putBack(worker);
      return made;
    } catch (error) {
      // Whatever else went wrong, it may be in the middle of something.
      if (error instanceof UnusableImageError) this.#putBack(worker);
      else worker.kill();
      throw error;
    }
  }

  /** Ends all processes, also those that work. Ends when they are gone. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const worker of this.#alive) worker.kill();
    await Promise.all([...this.#alive].map((worker) => worker.gone));
  }

  #takeWorker(): ThumbnailWorker {
    if (this.#isClosed) throw new ThumbnailWorkerDiedError('no thumbnails are made any more: the server is closing');
    const idle = this.#idle.pop();
    if (idle !== undefined) {
      idle.stayFor(null);
      return idle;
    }
    const worker = new ThumbnailWorker();
    this.#alive.add(worker);
    void worker.gone.then(() => {
      this.#alive.delete(worker);
      const place = this.#idle.indexOf(worker);
      if (place >= 0) this.#idle.splice(place, 1);
    });
    return worker;
  }

  #putBack(worker: ThumbnailWorker): void {
    if (!this.#alive.has(worker)) return;
    worker.stayFor(this.#limits.idleMs);
    this.#idle.push(worker);
  }
}

/** One process. */
class ThumbnailWorker {
  readonly #child: ChildProcess;
  readonly #input: Writable;
  /** Resolves when there is no process (any more). */
  readonly gone: Promise<void>;
  /** How it ended; null while it has not. */
  #end: string | null = null;
  /** Of the image that it has. */
  #answer: PromiseWithResolvers<WorkerAnswer> | null = null;
  #idleTimer: NodeJS.Timeout | null = null;

  constructor() {
    this.#child = fork(PROGRAM, {
      stdio: ['pipe', 'ignore', 'inherit', 'ipc'],
      serialization: 'advanced', // bytes as they are, not as text
      execArgv: [],
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => KEPT_VARIABLES.includes(name))),
    });
    this.#input = this.#child.stdin as Writable;
    this.#input.on('error', () => {}); // it shows by the end of the process
    this.#child.on('message', (answer) => this.#answer?.resolve(answer as WorkerAnswer));
    this.gone = new Promise((resolve) => {
      const onEnd = (how: string) => {
        this.#end ??= how;
        this.stayFor(null);
        this.#answer?.reject(this.#died());
        resolve();
      };
      this.#child.on('exit', (code, signal) => onEnd(signal ?? `exit code ${code}`));
      this.#child.on('error', (error) => {
        // One that could not be started never exits.
        if (this.#child.pid === undefined) onEnd(error.message);
      });
    });
  }

  /** undefined: it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** @param idleMs after which it ends; null: for as long as it takes */
  stayFor(idleMs: number | null): void {
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#idleTimer = idleMs === null ? null : setTimeout(() => this.kill(), idleMs).unref();
  }

  /** One at a time. After any error but UnusableImageError it is of no use any more. */
  async make(image: ImageBytes, signal: AbortSignal, withinMs: number): Promise<MadeThumbnails> {
    if (this.#end !== null) throw this.#died();
    const answer = Promise.withResolvers<WorkerAnswer>();
    this.#answer = answer;
    const onAbort = () => answer.reject(signal.reason);
    signal.addEventListener('abort', onAbort);
    let timer: NodeJS.Timeout | null = null;
    try {
      await Promise.race([this.#send(image), answer.promise]);
      timer = setTimeout(() => this.kill(), withinMs);
      return readAnswer(await answer.promise);
    } finally {
      if (timer !== null) clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      this.#answer = null;
    }
  }

  /** Comes back when all is on its way, or when nobody reads it any more: of that the missing answer speaks. */
  async #send({ bytes, body }: ImageBytes): Promise<void> {
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(bytes));
    this.#input.write(length);
    for await (const chunk of body) {
      if (this.#input.destroyed) return;
      if (!this.#input.write(chunk)) await drainedOrClosed(this.#input);
    }
  }

  #died(): ThumbnailWorkerDiedError {
    return new ThumbnailWorkerDiedError(`the process that was making thumbnails ended: ${this.#end}`);
  }
}

async function drainedOrClosed(stream: Writable): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.once('drain', resolve).once('close', resolve);
  if (!stream.destroyed) await promise;
  stream.off('drain', resolve).off('close', resolve);
}

function readAnswer(answer: WorkerAnswer): MadeThumbnails {
  if (answer.kind === 'unusable') throw new UnusableImageError(answer.problem);
  if (answer.kind === 'failed') throw new Error(`thumbnails could not be made: ${answer.message}`);
  return answer.made;
}
