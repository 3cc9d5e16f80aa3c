import type { Logger } from './logger.ts';

/** So many calls in a row that failed, and none that was answered between: one failure is no outage. */
const LOST_AFTER = 3;

/**
 * Says once when a service that the node cannot work without is lost, and once when it is found again, whoever notices:
 * the traffic itself, or a probe of `/readyz`.
 */
export class ServiceWatch {
  readonly #name: string;
  readonly #logger: Pick<Logger, 'info' | 'error'>;
  #isLost = false;
  #failures = 0;

  /** @param name as the log's sentences have it: `database`, `storage` */
  constructor(name: string, logger: Pick<Logger, 'info' | 'error'>) {
    this.#name = name;
    this.#logger = logger;
  }

  /** A call was not answered: several of them are an outage. */
  failed(problem: object): void {
    this.#failures += 1;
    if (this.#failures >= LOST_AFTER) this.lost(problem);
  }

  /** @param problem fields for the log */
  lost(problem: object): void {
    if (this.#isLost) return;
    this.#isLost = true;
    this.#logger.error(problem, `the ${this.#name} does not answer: this node is not ready`);
  }

  /** A call was answered. */
  found(): void {
    this.#failures = 0;
    if (!this.#isLost) return;
    this.#isLost = false;
    this.#logger.info({}, `the ${this.#name} answers again`);
  }
}
