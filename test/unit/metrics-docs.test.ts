import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { addEventMetrics, addNodeMetrics } from '../../src/app/node-metrics.ts';
import { addPrimaryMetrics } from '../../src/app/workers-metrics.ts';
import type { Database } from '../../src/catalog/database.ts';
import { newLockCounters } from '../../src/locks/lock-counters.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { PROVIDER_NAMES, providerProfile } from '../../src/provider-profiles.ts';
import { newUploadCounters } from '../../src/relay/upload-counters.ts';

function document(name: string): string {
  return readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
}

test('docs/metrics.md has a row for every metric of ours, and for no other', () => {
  const { registry } = createMetrics();
  addNodeMetrics(registry, {
    budget: { figures: {} as never },
    locker: { counters: newLockCounters(), degraded: false },
    uploads: newUploadCounters(),
    downloads: { openCount: 0 },
    database: { poolFigures: () => ({ total: 0, idle: 0, waiting: 0 }) } as unknown as Database,
  });
  addEventMetrics(registry, { figures: {} as never });
  addPrimaryMetrics(registry, { workers: () => ({ wanted: 2, serving: 2 }), restarts: () => 0 });
  const names = registry.getMetricsAsArray().map(({ name }) => name);
  const ours = names.filter((name) => name.startsWith('tus_relay_')).sort();
  const rows = [...document('metrics.md').matchAll(/^\| `(tus_relay_\w+)` \|/gm)].map(([, name]) => name).sort();
  assert.ok(ours.length > 20);
  assert.deepEqual(rows, ours);
  assert.deepEqual(
    names.filter((name) => !/^(tus_relay|process|nodejs)_/.test(name)),
    [],
  );
});

test('docs/s3.md has every profile, with its number of parts', () => {
  const text = document('s3.md');
  for (const name of PROVIDER_NAMES) {
    const row = text.split('\n').find((line) => line.startsWith('| `') && line.split('|')[1]?.includes(`\`${name}\``));
    assert.equal(row?.split('|')[2]?.trim(), String(providerProfile(name).maxParts), name);
  }
});
