import type { ServerResponse } from 'node:http';
import { RelayError } from '../errors.ts';

/** Why a request was told to stop reading its body. */
export type StopReason = 'another-request' | 'shutdown';

/** Another request for the same upload has come: on 423 tus-js-client asks for the offset and goes on. */
export class UploadInterruptedError extends RelayError {
  override readonly name = 'UploadInterruptedError';

  constructor() {
    super('upload_interrupted', 423, 'another request for this upload has come; what had arrived is stored');
  }
}

export class ServerShutdownError extends RelayError {
  override readonly name = 'ServerShutdownError';

  constructor() {
    super('server_shutdown', 503, 'the server is shutting down; what had arrived is stored');
  }
}

/** One request that reads or waits. */
export class RunningRequest {
  readonly #stop = new AbortController();
  readonly #gone = new AbortController();
  readonly #ending = new AbortController();

  constructor(response: ServerResponse) {
    response.once('close', () => {
      if (!response.writableFinished) this.#gone.abort(new Error('the client has gone'));
    });
  }

  /** Aborts when the body is to be read no further. */
  get stopSignal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Aborts when the connection is gone. */
  get goneSignal(): AbortSignal {
    return this.#gone.signal;
  }

  /** Aborts when the process is to end: what S3 does not do soon is left to the client to repeat. */
  get endingSignal(): AbortSignal {
    return this.#ending.signal;
  }

  stop(reason: StopReason): void {
    if (reason === 'shutdown') this.#ending.abort();
    this.#stop.abort(reason === 'shutdown' ? new ServerShutdownError() : new UploadInterruptedError());
  }
}

/** Beyond the grace, for those that were told to stop: S3 gets five seconds of it (s3-retry.ts), the commits the rest. */
const LAST_STEPS_MS = 7_000;

/** The requests of the tus endpoint that are under way, so that a shutdown can let them commit what they have. */
export class RunningRequests {
  readonly #running = new Map<RunningRequest, Promise<void>>();
  #draining = false;

  get draining(): boolean {
    return this.#draining;
  }

  /** @param method the one that is meant */
  async run(method: string, response: ServerResponse, work: (running: RunningRequest) => Promise<void>): Promise<void> {
    if (this.#draining && method !== 'HEAD') throw new ServerShutdownError();
    const running = new RunningRequest(response);
    const done = work(running);
    this.#running.set(
      running,
      done.catch(() => {}),
    );
    try {
      await done;
    } finally {
      this.#running.delete(running);
    }
  }

  /**
   * New uploads and continuations are turned away at once; those under way go on for `graceMs`. Then their bodies are
   * read no further, and it ends when every request has committed what it had and has answered, or when there is no time
   * left for that: nothing that was acknowledged depends on it.
   */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    const timeUp = Promise.withResolvers<void>();
    const timers = [
      setTimeout(() => {
        for (const running of this.#running.keys()) running.stop('shutdown');
      }, graceMs),
      setTimeout(timeUp.resolve, graceMs + LAST_STEPS_MS),
    ];
    await Promise.race([this.#allDone(), timeUp.promise]);
    for (const timer of timers) clearTimeout(timer);
  }

  async #allDone(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.values());
  }
}
