/** What the primary process and its workers tell each other, and nothing that is secret. */
import type { RunningServer } from '../app.ts';

/** Set by the primary in a worker's environment: its place among the workers, from 1, kept through restarts. */
export const WORKER_NUMBER = 'TUS_RELAY_WORKER';

/** What of a running server can be shown to the operator. */
export type ServerReport = Pick<RunningServer, 'addresses' | 'dataDir'>;

export type WorkerMessage =
  | { readonly type: 'tus-relay:ready'; readonly report: ServerReport }
  /** Somebody asks this worker for the metrics of all. */
  | { readonly type: 'tus-relay:gather-metrics'; readonly requestId: number }
  /** This worker's own; null: it could not say. */
  | { readonly type: 'tus-relay:own-metrics'; readonly requestId: number; readonly text: string | null };

export type PrimaryMessage =
  | { readonly type: 'tus-relay:tell-metrics'; readonly requestId: number }
  | { readonly type: 'tus-relay:all-metrics'; readonly requestId: number; readonly text: string };

/** Other messages, as Node's own, pass by on the same channel. */
export function isOurs(message: unknown): message is { type: string } {
  const type = (message as { type?: unknown } | null)?.type;
  return typeof type === 'string' && type.startsWith('tus-relay:');
}
