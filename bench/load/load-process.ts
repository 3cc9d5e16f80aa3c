import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Workshop } from '../services/workshop.ts';
import type { Order, Reply } from './generator.ts';
import type { Load, LoadResult } from './load.ts';

const PROGRAM = fileURLToPath(new URL('generator.ts', import.meta.url));

/** The load comes from a process of its own: what it costs is in nobody's figures. */
export class LoadProcess {
  readonly #child: ChildProcess;

  constructor(workshop: Workshop) {
    this.#child = fork(PROGRAM, { execArgv: [] });
    workshop.keep(this.#child);
  }

  /** @throws when a request failed, or the process ended */
  async run(load: Load, endpoint: string): Promise<LoadResult> {
    const order: Order = { load, endpoint };
    const reply = await new Promise<Reply>((resolve, reject) => {
      const onExit = () => reject(new Error('the load generator has ended'));
      this.#child.once('exit', onExit);
      this.#child.once('message', (message) => {
        this.#child.off('exit', onExit);
        resolve(message as Reply);
      });
      this.#child.send(order, (error) => {
        if (error !== null) reject(error);
      });
    });
    if ('problem' in reply) throw new Error(reply.problem);
    return reply.result;
  }
}
