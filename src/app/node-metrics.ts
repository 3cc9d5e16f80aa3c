/** What the parts of a node have to tell, as metrics: read at the moment of a scrape. */
import { Gauge, type Registry } from 'prom-client';
import { countUndeleted, countUploads } from '../catalog/catalog-figures.ts';
import type { Database } from '../catalog/database.ts';
import type { EventStreamFigures } from '../http/events-route.ts';
import type { LockCounters } from '../locks/lock-counters.ts';
import type { NodeLocker } from '../locks/upload-locker.ts';
import { addReadCounter, addReadGauge } from '../observability/read-metrics.ts';
import { countJobs } from '../pipeline/job-figures.ts';
import type { BudgetFigures, MemoryBudget } from '../relay/memory-budget.ts';
import type { UploadCounters } from '../relay/upload-counters.ts';
import { type CatalogSample, CatalogSampler } from './catalog-sampler.ts';

export interface MeasuredParts {
  budget: Pick<MemoryBudget, 'figures'>;
  locker: Pick<NodeLocker, 'counters' | 'degraded'>;
  uploads: Readonly<UploadCounters>;
  downloads: { readonly openCount: number };
  database: Database;
}

export function addNodeMetrics(
  registry: Registry,
  { budget, locker, uploads, downloads, database }: MeasuredParts,
): void {
  addUploadMetrics(registry, uploads);
  addReadGauge(registry, {
    name: 'tus_relay_downloads_open',
    help: 'Objects that clients are reading now; each has a connection to S3. At most MAX_DOWNLOADS.',
    read: () => downloads.openCount,
  });
  addLockMetrics(registry, locker);
  addBufferMetrics(registry, () => budget.figures);
  addPoolMetrics(registry, database);
  addCatalogMetrics(registry, async () => ({
    uploadsByState: await countUploads(database),
    undeleted: await countUndeleted(database),
    jobs: await countJobs(database),
  }));
}

export function addEventMetrics(registry: Registry, events: { readonly figures: EventStreamFigures }): void {
  addReadGauge(registry, {
    name: 'tus_relay_event_readers',
    help: 'Who listens to the live events of this node now.',
    read: () => events.figures.readers,
  });
  addReadGauge(registry, {
    name: 'tus_relay_events_pending',
    help: 'Uploads that the readers have still to be told something of.',
    read: () => events.figures.pendingUploads,
  });
  addReadCounter(registry, {
    name: 'tus_relay_event_readers_refused_total',
    help: 'Readers turned away since MAX_EVENT_READERS were listening.',
    read: () => events.figures.refusedReaders,
  });
  addReadCounter(registry, {
    name: 'tus_relay_event_readers_cut_total',
    help: 'Readers cut off since they could not be told everything.',
    read: () => events.figures.cutReaders,
  });
}

function addUploadMetrics(registry: Registry, uploads: Readonly<UploadCounters>): void {
  const counters: [keyof UploadCounters, string, string][] = [
    ['created', 'tus_relay_uploads_created_total', 'Uploads that were created on this node.'],
    ['finished', 'tus_relay_uploads_finished_total', 'Uploads that this node has finished.'],
    ['terminated', 'tus_relay_uploads_terminated_total', 'Uploads and files that were deleted through this node.'],
    ['lost', 'tus_relay_uploads_lost_total', 'Uploads that this node has ended since the storage lost their bytes.'],
    ['failed', 'tus_relay_uploads_failed_total', 'Uploads that this node has ended since S3 refuses to complete them.'],
    ['takeovers', 'tus_relay_writer_takeovers_total', 'Claims that found the token of another writer in the row.'],
    ['committedBytes', 'tus_relay_committed_bytes_total', 'Bytes of uploads that this node has stored and committed.'],
  ];
  for (const [field, name, help] of counters) addReadCounter(registry, { name, help, read: () => uploads[field] });
}

function addLockMetrics(registry: Registry, locker: MeasuredParts['locker']): void {
  const counters: [keyof LockCounters, string, string][] = [
    ['acquired', 'tus_relay_locks_acquired_total', 'Locks given.'],
    ['waits', 'tus_relay_lock_waits_total', 'Requests that had to wait for a lock.'],
    ['timeouts', 'tus_relay_lock_timeouts_total', 'Waits for a lock that ran out: a 423 each.'],
    ['expiryTakeovers', 'tus_relay_lock_takeovers_total', 'Locks taken from a holder that had stopped renewing.'],
    ['lost', 'tus_relay_locks_lost_total', 'Locks that another node took while this one believed to hold them.'],
    [
      'fallbacks',
      'tus_relay_lock_fallbacks_total',
      'Locks given by this node alone, while Redis, or Postgres in its place, was lost.',
    ],
    ['outages', 'tus_relay_lock_outages_total', 'How often Redis, or Postgres in its place, was lost.'],
  ];
  for (const [field, name, help] of counters) {
    addReadCounter(registry, { name, help, read: () => locker.counters[field] });
  }
  addReadCounter(registry, {
    name: 'tus_relay_lock_wait_seconds_total',
    help: 'Time that all waits for a lock took together.',
    read: () => locker.counters.waitMs / 1_000,
  });
  addReadGauge(registry, {
    name: 'tus_relay_lock_degraded',
    help: '1 while the locks reach only as far as this node, since Redis, or Postgres in its place, is lost.',
    read: () => (locker.degraded ? 1 : 0),
  });
}

function addBufferMetrics(registry: Registry, figures: () => BudgetFigures): void {
  const gauges: [keyof BudgetFigures, string, string][] = [
    ['capacityBytes', 'tus_relay_buffer_capacity_bytes', 'BUFFER_BYTES of this process.'],
    ['usedBytes', 'tus_relay_buffer_used_bytes', 'Memory that part buffers, remembered tails and merges hold.'],
    ['inFlightBytes', 'tus_relay_buffer_in_flight_bytes', 'Of the memory used: on its way to S3.'],
    ['reserveUsedBytes', 'tus_relay_buffer_reserve_used_bytes', 'Of the memory used: held by merges.'],
    [
      'unreadBytes',
      'tus_relay_buffer_unread_bytes',
      'Beginnings of bodies that came with the headers and wait in memory.',
    ],
    ['spilledBytes', 'tus_relay_spill_bytes', 'Bytes in spill files now.'],
    ['spillLimitBytes', 'tus_relay_spill_limit_bytes', 'What spill files of this process may have together.'],
    ['waiting', 'tus_relay_buffer_waiting', 'Part buffers that wait for memory now.'],
  ];
  for (const [field, name, help] of gauges) addReadGauge(registry, { name, help, read: () => figures()[field] });
  const counters: [keyof BudgetFigures, string, string][] = [
    ['spilledTotalBytes', 'tus_relay_spilled_bytes_total', 'Bytes that were written to spill files.'],
    [
      'spillFailuresTotal',
      'tus_relay_spill_failures_total',
      'Writes to SPILL_DIR that failed; the bytes stayed in memory.',
    ],
    [
      'spillRefusalsTotal',
      'tus_relay_spill_refusals_total',
      'Writes to SPILL_DIR that were not made, since its files had all that they may have.',
    ],
    ['waitsTotal', 'tus_relay_buffer_waits_total', 'Times that a part buffer had to wait for memory.'],
    ['flushesTotal', 'tus_relay_buffer_flushes_total', 'Buffers stored as tail segments to make room.'],
  ];
  for (const [field, name, help] of counters) addReadCounter(registry, { name, help, read: () => figures()[field] });
}

function addPoolMetrics(registry: Registry, database: Database): void {
  const { poolFigures } = database;
  if (poolFigures === undefined) return;
  addReadGauge(registry, {
    name: 'tus_relay_catalog_connections',
    help: 'Connections of this node to Postgres (those of the job queue not among them); waiting: statements for one.',
    label: 'state',
    read: () => {
      const { total, idle, waiting } = poolFigures();
      return new Map(Object.entries({ busy: total - idle, idle, waiting }));
    },
  });
}

/** The same on every node: they are the catalog's, not the node's. */
function addCatalogMetrics(registry: Registry, query: () => Promise<CatalogSample>): void {
  const sampler = new CatalogSampler(query);
  const registers = [registry];
  new Gauge({
    name: 'tus_relay_catalog_up',
    help: '0 when the catalog did not answer this scrape: then uploads, deletions_due and jobs are left out.',
    registers,
    async collect() {
      this.set((await sampler.sample()) === null ? 0 : 1);
    },
  });
  new Gauge({
    name: 'tus_relay_uploads',
    help: 'Uploads by state, finished ones apart; at most 100,000 each. The same on every node.',
    labelNames: ['state'],
    registers,
    async collect() {
      const sample = await sampler.sample();
      this.reset();
      for (const [state, count] of sample?.uploadsByState ?? []) this.set({ state }, count);
    },
  });
  new Gauge({
    name: 'tus_relay_deletions_due',
    help: 'Objects and multipart uploads that are not needed and not deleted yet; at most 100,000. The same on every node.',
    labelNames: [],
    registers,
    async collect() {
      const sample = await sampler.sample();
      // Without a label a gauge that was reset says 0, which would be a lie.
      this.set(sample?.undeleted ?? Number.NaN);
    },
  });
  new Gauge({
    name: 'tus_relay_jobs',
    help: 'Jobs by queue and state, as counted every half minute. The same on every node.',
    labelNames: ['queue', 'state'],
    registers,
    async collect() {
      const sample = await sampler.sample();
      this.reset();
      for (const { queue, ready, deferred, active } of sample?.jobs ?? []) {
        for (const [state, count] of Object.entries({ ready, deferred, active })) this.set({ queue, state }, count);
      }
    },
  });
}
