import { Counter, Histogram, type Registry } from 'prom-client';

/**
 * How one call to S3 ended. ok: with what was asked for, "there is none" included. refused: a definite no. retryable:
 * it may be sent again, as writers do up to ten times. aborted: we ended it ourselves.
 */
export type S3CallOutcome = 'ok' | 'refused' | 'retryable' | 'aborted';

/** From an answer out of memory to a Complete of ten thousand parts. */
const BUCKETS_SECS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

export class S3Metrics {
  readonly #calls: Histogram<'operation' | 'outcome'>;
  readonly #sentBytes: Counter<'operation'>;
  /** prom-client looks a label up by sorting and joining: once for each pair is enough. */
  readonly #observers = new Map<string, (seconds: number) => void>();

  constructor(registry: Registry) {
    this.#calls = new Histogram({
      name: 'tus_relay_s3_request_duration_seconds',
      help: 'Single attempts of calls to S3, until the answer (for GetObject: until its headers).',
      labelNames: ['operation', 'outcome'],
      buckets: BUCKETS_SECS,
      registers: [registry],
    });
    this.#sentBytes = new Counter({
      name: 'tus_relay_s3_sent_bytes_total',
      help: 'Payload of the PutObject and UploadPart calls that were answered with success.',
      labelNames: ['operation'],
      registers: [registry],
    });
  }

  /** @param operation one of S3's own names */
  observe(operation: string, outcome: S3CallOutcome, seconds: number): void {
    const pair = `${operation} ${outcome}`;
    let observer = this.#observers.get(pair);
    if (observer === undefined) {
      const labelled = this.#calls.labels(operation, outcome);
      observer = (value) => labelled.observe(value);
      this.#observers.set(pair, observer);
    }
    observer(seconds);
  }

  sent(operation: string, bytes: number): void {
    this.#sentBytes.inc({ operation }, bytes);
  }
}
