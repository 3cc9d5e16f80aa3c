/**
 * The metrics of one node. Names begin with `tus_relay_`; those of the process itself are the ones that every Node
 * program has. Labels have few, known values: no ids, no keys, no addresses. docs/metrics.md explains each.
 */
import { collectDefaultMetrics, Registry } from 'prom-client';
import { HttpMetrics } from './http-metrics.ts';
import { S3Metrics } from './s3-metrics.ts';

export interface Metrics {
  /** Where the parts of a node add what they have to tell. */
  readonly registry: Registry;
  readonly http: HttpMetrics;
  readonly s3: S3Metrics;
}

/** A registry of its own, so that two nodes in one process (as in tests) do not mix. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return { registry, http: new HttpMetrics(registry), s3: new S3Metrics(registry) };
}
