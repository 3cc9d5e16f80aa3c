/**
 * The metrics of all workers, whichever of them is asked: the port is one, and which worker gets a scrape is chance.
 * Each worker's series carry its number as the label `worker`: a counter that begins anew with a new worker is then
 * seen as what it is.
 */
import type { Worker } from 'node:cluster';
import { Registry } from 'prom-client';
import { addReadCounter, addReadGauge } from '../observability/read-metrics.ts';
import { isOurs, type PrimaryMessage, type WorkerMessage } from './workers-messages.ts';

/** Prometheus gives a scrape ten seconds; a worker's own catalog figures may take three. */
const GATHER_MS = 5_000;
const ANSWER_MS = GATHER_MS + 1_000;

type Port = Pick<NodeJS.Process, 'on' | 'off'> & { send?: NodeJS.Process['send'] };

/** In a worker: what `GET /metrics` answers there. */
export class WorkerMetrics {
  readonly #registry: Registry;
  readonly #port: Port;
  readonly #waiting = new Map<number, (text: string) => void>();
  #lastRequest = 0;

  /** @param port the worker's process: its channel to the primary */
  constructor(registry: Registry, workerNumber: number, port: Port = process) {
    this.#registry = registry;
    this.#port = port;
    registry.setDefaultLabels({ worker: String(workerNumber) });
    port.on('message', (message: unknown) => {
      if (isOurs(message)) void this.#hear(message as PrimaryMessage);
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** @returns this worker's alone where the primary does not answer */
  async metrics(): Promise<string> {
    const requestId = ++this.#lastRequest;
    const answer = Promise.withResolvers<string | null>();
    const timer = setTimeout(() => answer.resolve(null), ANSWER_MS);
    this.#waiting.set(requestId, answer.resolve);
    this.#send({ type: 'tus-relay:gather-metrics', requestId });
    try {
      return (await answer.promise) ?? (await this.#registry.metrics());
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(requestId);
    }
  }

  async #hear(message: PrimaryMessage): Promise<void> {
    if (message.type === 'tus-relay:all-metrics') {
      this.#waiting.get(message.requestId)?.(message.text);
      return;
    }
    const text = await this.#registry.metrics().catch(() => null);
    this.#send({ type: 'tus-relay:own-metrics', requestId: message.requestId, text });
  }

  #send(message: WorkerMessage): void {
    // With the primary gone this process is about to end.
    this.#port.send?.(message, undefined, undefined, () => {});
  }
}

/** One scrape that waits for the workers. */
interface Gathering {
  readonly texts: string[];
  readonly missing: Set<Worker>;
  readonly finish: () => void;
}

/** In the primary: asks every worker that serves, and puts their answers together. */
export class MetricsGatherer {
  readonly #own = new Registry();
  readonly #serving: () => Worker[];
  readonly #running = new Map<number, Gathering>();
  #lastGathering = 0;
  #restarts = 0;

  /**
   * @param workers how many there should be
   * @param serving those that are ready now
   */
  constructor(workers: number, serving: () => Worker[]) {
    this.#serving = serving;
    addPrimaryMetrics(this.#own, {
      workers: () => ({ wanted: workers, serving: serving().length }),
      restarts: () => this.#restarts,
    });
  }

  countRestart(): void {
    this.#restarts += 1;
  }

  hear(worker: Worker, message: Exclude<WorkerMessage, { type: 'tus-relay:ready' }>): void {
    if (message.type === 'tus-relay:gather-metrics') {
      this.#gather((text) => send(worker, { type: 'tus-relay:all-metrics', requestId: message.requestId, text }));
      return;
    }
    const gathering = this.#running.get(message.requestId);
    if (gathering?.missing.delete(worker) !== true) return;
    if (message.text !== null) gathering.texts.push(message.text);
    if (gathering.missing.size === 0) gathering.finish();
  }

  /** Who does not answer in time, or dies meanwhile, is left out. */
  #gather(tell: (text: string) => void): void {
    const requestId = ++this.#lastGathering;
    const serving = this.#serving();
    const texts: string[] = [];
    const finish = () => {
      clearTimeout(timer);
      if (!this.#running.delete(requestId)) return;
      void this.#own.metrics().then((own) => tell(mergeMetrics([own, ...texts])));
    };
    const timer = setTimeout(finish, GATHER_MS);
    this.#running.set(requestId, { texts, missing: new Set(serving), finish });
    for (const worker of serving) send(worker, { type: 'tus-relay:tell-metrics', requestId });
  }
}

export interface PrimaryFigures {
  workers: () => { wanted: number; serving: number };
  restarts: () => number;
}

export function addPrimaryMetrics(registry: Registry, { workers, restarts }: PrimaryFigures): void {
  addReadGauge(registry, {
    name: 'tus_relay_workers',
    help: 'Workers that there should be (WORKERS), and those that serve now.',
    label: 'state',
    read: () => new Map(Object.entries(workers())),
  });
  addReadCounter(registry, {
    name: 'tus_relay_worker_restarts_total',
    help: 'Workers that ended and were started again.',
    read: restarts,
  });
}

function send(worker: Worker, message: PrimaryMessage): void {
  if (worker.isConnected()) worker.send(message, undefined, undefined, () => {});
}

const HEADER = /^# (?:HELP|TYPE) (\S+)/;

/**
 * One text of several in Prometheus' format: all lines of a metric together, its HELP and TYPE once, as the format
 * demands. The series must differ already (by their label `worker`).
 */
export function mergeMetrics(texts: readonly string[]): string {
  const metrics = new Map<string, { headers: Set<string>; series: string[] }>();
  for (const text of texts) {
    let current: { headers: Set<string>; series: string[] } | null = null;
    for (const line of text.split('\n')) {
      const name = HEADER.exec(line)?.[1];
      if (name !== undefined) {
        current = metrics.get(name) ?? { headers: new Set(), series: [] };
        metrics.set(name, current);
        current.headers.add(line);
      } else if (line !== '') {
        current?.series.push(line);
      }
    }
  }
  return [...metrics.values()].map(({ headers, series }) => [...headers, ...series, ''].join('\n')).join('\n');
}
