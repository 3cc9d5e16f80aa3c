import { Router } from 'express';

/** A service that the server cannot work without. Rejects when it does not answer. */
export interface ServiceCheck {
  name: 'database' | 'storage';
  check(signal: AbortSignal): Promise<unknown>;
  /** Called when a look finds it down, with why, and with null when one finds it up again. */
  onChange?: (problem: unknown) => void;
}

export interface ReadinessReport {
  ready: boolean;
  /** True from the moment a shutdown begins. */
  draining: boolean;
  /** Names of the services that do not answer. */
  down: string[];
}

const CHECK_TIMEOUT_MS = 2_000;
const CACHE_MS = 1_000;

/** Whether this node should get traffic. The answer is kept for a second: a probe must not become a load. */
export class Readiness {
  readonly #services: readonly ServiceCheck[];
  readonly #timeoutMs: number;
  readonly #now: () => number;
  /** Names of those that the last look found down. */
  readonly #down = new Set<string>();
  #draining = false;
  #checked: { atMs: number; down: Promise<string[]> } | null = null;

  constructor(services: readonly ServiceCheck[], timeoutMs = CHECK_TIMEOUT_MS, now = () => performance.now()) {
    this.#services = services;
    this.#timeoutMs = timeoutMs;
    this.#now = now;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** From here on the node is not ready any more, whatever its services say. */
  startDraining(): void {
    this.#draining = true;
  }

  async report(): Promise<ReadinessReport> {
    const nowMs = this.#now();
    if (this.#checked === null || nowMs - this.#checked.atMs >= CACHE_MS) {
      this.#checked = { atMs: nowMs, down: this.#findDown() };
    }
    const down = await this.#checked.down;
    return { ready: down.length === 0 && !this.#draining, draining: this.#draining, down };
  }

  async #findDown(): Promise<string[]> {
    const answers = await Promise.all(this.#services.map((service) => this.#answers(service)));
    return this.#services.filter((_, index) => !answers[index]).map((service) => service.name);
  }

  /** A service that ignores the signal counts as down too. */
  async #answers(service: ServiceCheck): Promise<boolean> {
    const abort = new AbortController();
    const timedOut = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      abort.abort();
      timedOut.reject(new Error('no answer in time'));
    }, this.#timeoutMs);
    try {
      await Promise.race([service.check(abort.signal), timedOut.promise]);
      if (this.#down.delete(service.name)) service.onChange?.(null);
      return true;
    } catch (error) {
      if (!this.#down.has(service.name)) service.onChange?.(error);
      this.#down.add(service.name);
      return false;
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * `GET /livez`: 200 while the process can answer at all. `GET /readyz`: 200 or 503, body {@link ReadinessReport}.
 * A restart cures what livez complains of; it does not cure a database that is down.
 */
export function healthRoutes(readiness: Readiness): Router {
  const router = Router({ caseSensitive: true });
  router.get('/livez', (_request, response) => {
    response.setHeader('Cache-Control', 'no-store');
    response.json({ alive: true });
  });
  router.get('/readyz', async (_request, response) => {
    const report = await readiness.report();
    response.setHeader('Cache-Control', 'no-store');
    response.status(report.ready ? 200 : 503).json(report);
  });
  return router;
}
