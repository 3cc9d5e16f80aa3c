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

  stop(reason: StopReason): void {
    this.#stop.abort(reason === 'shutdown' ? new ServerShutdownError() : new UploadInterruptedError());
  }
}

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
   * read no further, and it ends when every request has committed what it had and has answered.
   */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    const timer = setTimeout(() => {
      for (const running of this.#running.keys()) running.stop('shutdown');
    }, graceMs);
    while (this.#running.size > 0) await Promise.all(this.#running.values());
    clearTimeout(timer);
  }
}
