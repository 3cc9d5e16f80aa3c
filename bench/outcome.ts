import type { Usage } from './measure/usage.ts';
import type { Scenario } from './scenarios.ts';

/** What came of one scenario on one server. */
export interface Outcome {
  readonly scenario: Scenario;
  /** What `--server` takes. */
  readonly server: string;
  readonly title: string;
  readonly rounds: Round[];
  /** S3 requests by operation, for each upload or HEAD; null: not counted. */
  requests: ReadonlyMap<string, number> | null;
  /** Why there are no figures, or no more of them; null: there are. */
  problem: string | null;
}

export interface Round extends Usage {
  /** Medians of the first and the last ten PATCHes; null where an upload has fewer than twenty. */
  readonly firstPatchesMs: number | null;
  readonly lastPatchesMs: number | null;
  /** Resident memory before, of clients that wait; null: the scenario has none. */
  readonly idleBytes: number | null;
}

/** @returns null for no values */
export function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const low = sorted[Math.ceil(middle) - 1];
  const high = sorted[Math.floor(middle)];
  return low === undefined || high === undefined ? null : (low + high) / 2;
}

export function medianOf(outcome: Outcome | undefined, value: (round: Round) => number | null): number | null {
  return median((outcome?.rounds ?? []).map(value).filter((it) => it !== null));
}

/** CPU seconds for each GiB, or CPU milliseconds for each upload or HEAD. */
export function cpuPerUnit(outcome: Outcome | undefined): number | null {
  if (outcome === undefined) return null;
  const { load, unit } = outcome.scenario;
  const cpuSecs = medianOf(outcome, (round) => round.cpuSecs);
  if (cpuSecs === null) return null;
  if (load.kind === 'heads') return (cpuSecs * 1000) / load.requests;
  if (load.kind === 'waiting') return (cpuSecs * 1000) / load.clients;
  return unit === 'GiB' ? (cpuSecs * 2 ** 30) / (load.uploads * load.bytes) : (cpuSecs * 1000) / load.uploads;
}

/** Memory above what an idle server has and above its budget, for each client that waits. */
export function bytesPerWaitingClient(outcome: Outcome | undefined): number | null {
  if (outcome === undefined) return null;
  const { load, bufferBytes } = outcome.scenario;
  if (load.kind !== 'waiting') return null;
  return medianOf(outcome, ({ peakBytes, idleBytes }) =>
    idleBytes === null ? null : (peakBytes - idleBytes - (bufferBytes ?? 0)) / load.clients,
  );
}

export function requestsPerUnit(outcome: Outcome | undefined): number | null {
  const { requests } = outcome ?? {};
  return requests == null ? null : requests.values().reduce((total, count) => total + count, 0);
}
