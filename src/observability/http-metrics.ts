import type { Socket } from 'node:net';
import { Gauge, Histogram, type Registry } from 'prom-client';
import { addReadCounter } from './read-metrics.ts';

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PATCH', 'PUT', 'DELETE', 'OPTIONS']);
/** A PATCH takes as long as its body: hours, over a slow line. */
const BUCKETS_SECS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800];

/** Which of the server's three faces was asked. */
export type HttpArea = 'tus' | 'api' | 'other';

export class HttpMetrics {
  readonly #requests: Histogram<'area' | 'method' | 'status'>;
  readonly #running: Gauge<'area'>;
  /** Open connections, with as many bytes of each as `#receivedBytes` holds already. */
  readonly #connections = new Map<Socket, number>();
  #receivedBytes = 0;

  constructor(registry: Registry) {
    this.#requests = new Histogram({
      name: 'tus_relay_http_request_duration_seconds',
      help: 'Requests, from their headers until the end of the answer. Status "gone": the client left before.',
      labelNames: ['area', 'method', 'status'],
      buckets: BUCKETS_SECS,
      registers: [registry],
    });
    this.#running = new Gauge({
      name: 'tus_relay_http_requests_running',
      help: 'Requests that are under way, live-event streams among them.',
      labelNames: ['area'],
      registers: [registry],
    });
    addReadCounter(registry, {
      name: 'tus_relay_http_received_bytes_total',
      help: 'Bytes that came in over connections that had a request, headers included.',
      read: () => this.#countReceived(),
    });
  }

  /** @returns to be called once when the request is over, with null when the client left before the answer was out */
  began(area: HttpArea, method: string, socket: Socket): (statusCode: number | null) => void {
    const startedMs = performance.now();
    this.#watch(socket);
    this.#running.inc({ area });
    return (statusCode) => {
      this.#running.dec({ area });
      const status = statusCode === null ? 'gone' : `${Math.floor(statusCode / 100)}xx`;
      const known = METHODS.has(method) ? method : 'other';
      this.#requests.labels(area, known, status).observe((performance.now() - startedMs) / 1_000);
    };
  }

  #watch(socket: Socket): void {
    if (this.#connections.has(socket)) return;
    this.#connections.set(socket, 0);
    socket.once('close', () => {
      this.#receivedBytes += socket.bytesRead - (this.#connections.get(socket) ?? 0);
      this.#connections.delete(socket);
    });
  }

  /** A body that comes in over hours counts as it comes. */
  #countReceived(): number {
    for (const [socket, counted] of this.#connections) {
      this.#receivedBytes += socket.bytesRead - counted;
      this.#connections.set(socket, socket.bytesRead);
    }
    return this.#receivedBytes;
  }
}
