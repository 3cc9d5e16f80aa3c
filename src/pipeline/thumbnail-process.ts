/** One process that decodes images (thumbnail-worker.ts), seen from the server: it is fed, watched, and ended. */
import { type ChildProcess, fork } from 'node:child_process';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { watchMemory } from './process-memory.ts';
import { LargeImageError, type MadeThumbnails, UnusableImageError } from './thumbnail-terms.ts';
import type { WorkerAnswer } from './thumbnail-worker.ts';

const PROGRAM = fileURLToPath(new URL('./thumbnail-worker.ts', import.meta.url));
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
/** How programs end that get no memory (abort, and GLib's trap), or too much of it (the system ends them). */
const MEMORY_SIGNALS = new Set(['SIGKILL', 'SIGABRT', 'SIGTRAP']);

/**
 * Why there is no process any more. memory: it had more than it may, or could not get what it needed, or the system ended
 * it, as it does when memory runs out. closed: the server ends. crash: anything else.
 */
export type WorkerEnd = 'memory' | 'closed' | 'crash';

/** The process that worked at the image is gone. The image may be the reason, or somebody who ends processes. */
export class ThumbnailWorkerDiedError extends Error {
  override readonly name = 'ThumbnailWorkerDiedError';
  readonly end: WorkerEnd;

  constructor(end: WorkerEnd, message: string) {
    super(message);
    this.end = end;
  }
}

export interface ImageBytes {
  readonly bytes: number;
  /** Exactly as many; the first failure ends the making. */
  readonly body: AsyncIterable<Buffer>;
}

/** What an image may take. */
export interface MakeLimits {
  /** What decoding may take by the header. */
  decodeUpToBytes: number;
  /** Of the whole process; more ends it. */
  memoryBytes: number;
  timeMs: number;
}

export class ThumbnailProcess {
  readonly #child: ChildProcess;
  readonly #input: Writable;
  /** Resolves when there is no process (any more). */
  readonly gone: Promise<void>;
  /** How it ended, in the system's words; null while it has not. */
  #ended: string | null = null;
  /** Why we ended it; null: we did not. */
  #killedFor: { end: WorkerEnd; why: string } | null = null;
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
        this.#ended ??= how;
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

  /** @param why completes "the process that was making thumbnails was ended: " */
  kill(end: WorkerEnd, why: string): void {
    this.#killedFor ??= { end, why };
    this.#child.kill('SIGKILL');
  }

  /** @param idleMs after which it ends; null: for as long as it takes */
  stayFor(idleMs: number | null): void {
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#idleTimer = idleMs === null ? null : setTimeout(() => this.kill('closed', 'idle'), idleMs).unref();
  }

  /** One at a time. After any error but UnusableImageError and LargeImageError it is of no use any more. */
  async make(image: ImageBytes, signal: AbortSignal, limits: MakeLimits): Promise<MadeThumbnails> {
    if (this.#ended !== null) throw this.#died();
    const answer = Promise.withResolvers<WorkerAnswer>();
    this.#answer = answer;
    const onAbort = () => answer.reject(signal.reason);
    signal.addEventListener('abort', onAbort);
    const endWatch = this.#watch(limits.memoryBytes);
    let timer: NodeJS.Timeout | null = null;
    try {
      await Promise.race([this.#send(image, limits.decodeUpToBytes), answer.promise]);
      timer = setTimeout(() => this.kill('crash', 'it took too long'), limits.timeMs);
      return readAnswer(await answer.promise);
    } finally {
      if (timer !== null) clearTimeout(timer);
      endWatch();
      signal.removeEventListener('abort', onAbort);
      this.#answer = null;
    }
  }

  #watch(limitBytes: number): () => void {
    const { pid } = this;
    if (pid === undefined) return () => {};
    return watchMemory(pid, limitBytes, () => this.kill('memory', `it had more memory than ${limitBytes} bytes`));
  }

  /** Comes back when all is on its way, or when nobody reads it any more: of that the missing answer speaks. */
  async #send({ bytes, body }: ImageBytes, decodeUpToBytes: number): Promise<void> {
    const head = Buffer.alloc(16);
    head.writeBigUInt64BE(BigInt(bytes), 0);
    head.writeBigUInt64BE(BigInt(decodeUpToBytes), 8);
    this.#input.write(head);
    for await (const chunk of body) {
      if (this.#input.destroyed) return;
      if (!this.#input.write(chunk)) await drainedOrClosed(this.#input);
    }
  }

  #died(): ThumbnailWorkerDiedError {
    const killed = this.#killedFor;
    const ended = this.#ended ?? '';
    const end = killed?.end ?? (MEMORY_SIGNALS.has(ended) ? 'memory' : 'crash');
    const how = killed === null ? `ended: ${ended}` : `was ended: ${killed.why}`;
    return new ThumbnailWorkerDiedError(end, `the process that was making thumbnails ${how}`);
  }
}

async function drainedOrClosed(stream: Writable): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.once('drain', resolve).once('close', resolve);
  if (!stream.destroyed) await promise;
  stream.off('drain', resolve).off('close', resolve);
}

function readAnswer(answer: WorkerAnswer): MadeThumbnails {
  switch (answer.kind) {
    case 'made':
      return answer.made;
    case 'unusable':
      throw new UnusableImageError(answer.problem);
    case 'large':
      throw new LargeImageError(answer.size);
    case 'no-memory':
      throw new ThumbnailWorkerDiedError('memory', 'the process that was making thumbnails did not get enough memory');
    default:
      throw new Error(`thumbnails could not be made: ${answer.message}`);
  }
}
