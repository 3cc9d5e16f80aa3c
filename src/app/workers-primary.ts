/**
 * The primary of several workers: it starts them, starts them again when they die, and hands signals on. It serves
 * nothing and holds nothing itself, so that no bug of an upload can reach it. Each worker is a whole node.
 */
import cluster, { type Worker } from 'node:cluster';
import type { Logger } from '../observability/logger.ts';
import { restartDelayMs, SETTLED_MS } from './workers-backoff.ts';
import { isOurs, type ServerReport, WORKER_NUMBER, type WorkerMessage } from './workers-messages.ts';
import { MetricsGatherer } from './workers-metrics.ts';

export interface PrimarySettings {
  /** At least 1. */
  workers: number;
  /** What a worker may take to end after a signal; then it is killed. Longer than the limit it sets itself. */
  stopWithinMs: number;
  logger: Logger;
  /** Once, when the last of them serves. */
  onReady: (report: ServerReport) => void;
}

/** A place among the workers, whoever fills it. */
interface Slot {
  readonly number: number;
  worker: Worker | null;
  readyAtMs: number | null;
  youngDeaths: number;
  restart: NodeJS.Timeout | null;
}

/** @returns the exit code of the whole, when every worker has ended */
export function superviseWorkers(settings: PrimarySettings): Promise<number> {
  return new Primary(settings).run();
}

class Primary {
  readonly #settings: PrimarySettings;
  readonly #slots: readonly Slot[];
  readonly #metrics: MetricsGatherer;
  readonly #ended = Promise.withResolvers<number>();
  /** Every worker was ready once: from then on one that dies is replaced; before, the start has failed. */
  #started = false;
  #stopping = false;
  #exitCode = 0;

  constructor(settings: PrimarySettings) {
    this.#settings = settings;
    this.#slots = Array.from({ length: settings.workers }, (_, index) => ({
      number: index + 1,
      ...{ worker: null, readyAtMs: null, youngDeaths: 0, restart: null },
    }));
    this.#metrics = new MetricsGatherer(settings.workers, () =>
      this.#slots.flatMap(({ worker, readyAtMs }) => (worker === null || readyAtMs === null ? [] : [worker])),
    );
  }

  run(): Promise<number> {
    // The workers accept for themselves. In Node's usual way the primary does it and hands each connection on: one that
    // is on its way to a worker that is killed is then never answered and never closed.
    cluster.schedulingPolicy = cluster.SCHED_NONE;
    const onSignal = (signal: NodeJS.Signals) => {
      // As a program ends that a signal met before it had anything to close.
      if (!this.#started && !this.#stopping) this.#exitCode = signal === 'SIGINT' ? 130 : 143;
      this.#stop(signal);
    };
    process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
    // The first alone: it migrates the database, and what is wrong with the configuration is said once.
    this.#fork(this.#slots[0] as Slot);
    return this.#ended.promise;
  }

  #fork(slot: Slot): void {
    const worker = cluster.fork({ [WORKER_NUMBER]: String(slot.number) });
    slot.worker = worker;
    slot.readyAtMs = null;
    worker.on('message', (message: unknown) => {
      if (isOurs(message)) this.#hear(slot, worker, message as WorkerMessage);
    });
    // A message to one that is dying: its end is told by 'exit'.
    worker.on('error', () => {});
    worker.once('exit', (code, signal) => this.#afterExit(slot, code, signal));
  }

  #hear(slot: Slot, worker: Worker, message: WorkerMessage): void {
    if (message.type === 'tus-relay:ready') this.#afterReady(slot, message.report);
    else this.#metrics.hear(worker, message);
  }

  #afterReady(slot: Slot, report: ServerReport): void {
    slot.readyAtMs = performance.now();
    if (this.#started) this.#settings.logger.info({ worker: slot.number }, 'the worker serves again');
    if (this.#started || this.#stopping) return;
    for (const other of this.#slots) if (other.worker === null) this.#fork(other);
    if (this.#slots.some(({ readyAtMs }) => readyAtMs === null)) return;
    this.#started = true;
    this.#settings.onReady(report);
  }

  #afterExit(slot: Slot, code: number | null, signal: string | null): void {
    const servedMs = slot.readyAtMs === null ? null : performance.now() - slot.readyAtMs;
    slot.worker = null;
    slot.readyAtMs = null;
    if (this.#stopping) {
      // One that was still starting held nothing: a signal just ends it.
      if (servedMs !== null && code !== 0) this.#exitCode = 1;
      if (this.#slots.every(({ worker }) => worker === null)) this.#ended.resolve(this.#exitCode);
      return;
    }
    const { logger } = this.#settings;
    const ended = { worker: slot.number, code, signal };
    if (!this.#started) {
      logger.error(ended, 'a worker ended before all of them served: the start has failed');
      this.#exitCode = 1;
      this.#stop('SIGTERM');
      return;
    }
    slot.youngDeaths = servedMs !== null && servedMs >= SETTLED_MS ? 0 : slot.youngDeaths + 1;
    const delayMs = restartDelayMs(slot.youngDeaths);
    this.#metrics.countRestart();
    logger.error({ ...ended, delayMs }, 'a worker has ended, and is started again');
    slot.restart = setTimeout(() => {
      slot.restart = null;
      this.#fork(slot);
    }, delayMs);
  }

  /** A second signal is handed on too: the workers know what it means. */
  #stop(signal: NodeJS.Signals): void {
    const { logger, stopWithinMs } = this.#settings;
    if (!this.#stopping) {
      this.#stopping = true;
      logger.info({ signal }, 'shutting down the workers');
      setTimeout(() => {
        logger.error('workers that did not end in time are killed');
        for (const { worker } of this.#slots) worker?.process.kill('SIGKILL');
      }, stopWithinMs);
    }
    for (const slot of this.#slots) {
      if (slot.restart !== null) clearTimeout(slot.restart);
      slot.restart = null;
      slot.worker?.process.kill(signal);
    }
    if (this.#slots.every(({ worker }) => worker === null)) this.#ended.resolve(this.#exitCode);
  }
}
