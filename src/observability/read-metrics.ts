/** Metrics that are read from somewhere else at the moment of a scrape: nothing is paid for them in between. */
import { Counter, Gauge, type Registry } from 'prom-client';

/** One value, or one for each value of the metric's only label. */
export type Reading = number | ReadonlyMap<string, number>;

export interface ReadMetric {
  name: string;
  help: string;
  /** Named when the reading is a map. */
  label?: string;
  read: () => Reading;
}

/** @param metric.read something that only grows while the process lives */
export function addReadCounter(registry: Registry, { name, help, label, read }: ReadMetric): void {
  new Counter({
    ...{ name, help, registers: [registry], labelNames: label === undefined ? [] : [label] },
    collect() {
      this.reset();
      for (const [labels, value] of valuesOf(read(), label)) this.inc(labels, value);
    },
  });
}

export function addReadGauge(registry: Registry, { name, help, label, read }: ReadMetric): void {
  new Gauge({
    ...{ name, help, registers: [registry], labelNames: label === undefined ? [] : [label] },
    collect() {
      this.reset();
      for (const [labels, value] of valuesOf(read(), label)) this.set(labels, value);
    },
  });
}

function valuesOf(reading: Reading, label: string | undefined): [Record<string, string>, number][] {
  if (typeof reading === 'number') return [[{}, reading]];
  if (label === undefined) throw new TypeError('a metric of several values needs a label');
  return [...reading].map(([key, value]) => [{ [label]: key }, value]);
}
