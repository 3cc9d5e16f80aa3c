/** What a scripted fault does to one request, at each moment of it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { DevS3Error } from './dev-s3-errors.ts';
import type { FaultAction, FaultMoment, Faults } from './faults.ts';
import type { Cut } from './reply.ts';

/** The connection was broken on purpose, or the client has gone: there is nobody to answer. */
export class ConnectionGone extends Error {
  override readonly name = 'ConnectionGone';
}

export class RequestFault {
  readonly #action: FaultAction | null;
  readonly #faults: Faults;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;

  constructor(action: FaultAction | null, faults: Faults, req: IncomingMessage, res: ServerResponse) {
    this.#action = action;
    this.#faults = faults;
    this.#req = req;
    this.#res = res;
  }

  /** Null, so that the usual request is not counted byte by byte. */
  get onBytes(): ((bytes: number) => void) | null {
    const action = this.#action;
    if (action?.kind !== 'cut-request') return null;
    return (bytes) => {
      if (bytes >= action.afterBytes) this.#cut();
    };
  }

  get cut(): Cut | null {
    return this.#action?.kind === 'cut-answer' ? { afterBytes: this.#action.afterBytes } : null;
  }

  async at(moment: FaultMoment): Promise<void> {
    const action = this.#action;
    switch (action?.kind) {
      case 'error':
        if (moment === (action.afterwards === true ? 'done' : 'start')) throw errorOf(action);
        return;
      case 'delay':
        if (action.when === moment) await this.#wait(action.ms);
        return;
      case 'hang':
        if (action.when === moment) await this.#wait(null);
        return;
      case 'drop-reply':
        if (moment === 'done') this.#cut();
        return;
      case 'cut-request':
        // A body that ended before the place of the cut.
        if (moment === 'received') this.#cut();
        return;
    }
  }

  /** @param ms null: until the faults are cleared */
  async #wait(ms: number | null): Promise<void> {
    const released = this.#faults.released();
    let timer: NodeJS.Timeout | undefined;
    let onClose = () => {};
    const gone = new Promise<void>((resolve) => {
      onClose = resolve;
      this.#res.once('close', onClose);
      if (ms !== null) timer = setTimeout(resolve, ms);
    });
    await Promise.race([released.promise, gone]);
    released.cancel();
    clearTimeout(timer);
    this.#res.off('close', onClose);
    if (this.#res.destroyed) throw new ConnectionGone();
  }

  #cut(): never {
    this.#req.socket.destroy();
    throw new ConnectionGone();
  }
}

export function errorOf({ status, code }: { status: number; code: string }): DevS3Error {
  return new DevS3Error(code, undefined, { status });
}
