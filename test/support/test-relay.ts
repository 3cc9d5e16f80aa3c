import { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import type { Database } from '../../src/catalog/database.ts';
import { DiscardCatalog, type DiscardCatalogPort } from '../../src/catalog/discard-catalog.ts';
import { UploadCatalog, type UploadCatalogPort, type UploadCatalogSettings } from '../../src/catalog/upload-catalog.ts';
import { eventOfEnd, type FileEvent } from '../../src/pipeline/event-bus.ts';
import { fileOf } from '../../src/pipeline/finish.ts';
import type { JobEnqueuer } from '../../src/pipeline/job-queue.ts';
import type { Clock } from '../../src/relay/clock.ts';
import { UploadCompleter } from '../../src/relay/complete-upload.ts';
import { type CompletionJobDependencies, enqueueCompletion } from '../../src/relay/completion-job.ts';
import { DiscardWorker } from '../../src/relay/discard-worker.ts';
import { MemoryBudget } from '../../src/relay/memory-budget.ts';
import { SpillStore } from '../../src/relay/spill-store.ts';
import type { StorageEvidence } from '../../src/relay/storage-canary.ts';
import { TailMemory } from '../../src/relay/tail-memory.ts';
import { TAIL_TIERS } from '../../src/relay/tail-tiers.ts';
import type { EndOfBytes } from '../../src/relay/upload-ledger.ts';
import { type RelaySettings, UploadRelay } from '../../src/relay/upload-relay.ts';
import { MemoryDatabase } from './memory-database.ts';
import { MemoryDiscardCatalog } from './memory-discard-catalog.ts';
import { MemoryObjectStorage } from './memory-object-storage.ts';
import { MemoryUploadCatalog } from './memory-upload-catalog.ts';
import { openTestDatabase } from './test-database.ts';

/** Time that does not make a test wait: sleeping is over at once, and the clock moves by as much. */
export function impatientClock(): Clock {
  let nowMs = 0;
  const alarms = new Set<{ atMs: number; ring: () => void }>();
  return {
    now: () => nowMs,
    sleep: async (ms) => {
      nowMs += ms;
      for (const alarm of [...alarms]) if (alarm.atMs <= nowMs && alarms.delete(alarm)) alarm.ring();
      await new Promise((resolve) => setImmediate(resolve));
    },
    alarm: (ms, ring) => {
      const alarm = { atMs: nowMs + ms, ring };
      alarms.add(alarm);
      return () => alarms.delete(alarm);
    },
    random: () => 0.5,
  };
}

/** A storage that is surely the one that was written to. */
export const SURE_OF_STORAGE: StorageEvidence = {
  assertHere: async () => {},
  demand: async () => {},
  demandOurs: async () => {},
};

/** The relay on a real catalog (in memory) and an S3 in memory, with small parts. */
export async function startTestRelay(
  t: TestContext,
  settings: Partial<RelaySettings> = {},
  evidence = SURE_OF_STORAGE,
) {
  const database = await openTestDatabase(t);
  const storage = new MemoryObjectStorage();
  return { database, storage, ...startNode(database, storage, settings, evidence) };
}

/** The same on a catalog in memory, which is much faster. */
export function startFastRelay(settings: Partial<RelaySettings> = {}) {
  const database = new MemoryDatabase();
  const storage = new MemoryObjectStorage();
  const startOther = () =>
    startNode(database, storage, settings, SURE_OF_STORAGE, (catalogSettings) => ({
      catalog: new MemoryUploadCatalog(database, catalogSettings),
      discardCatalog: new MemoryDiscardCatalog(database),
    }));
  return { database, storage, startOther, ...startOther() };
}

interface TestCatalogs {
  catalog: UploadCatalogPort;
  discardCatalog: DiscardCatalogPort;
}

function catalogsOf(database: Database, settings: UploadCatalogSettings): TestCatalogs {
  return { catalog: new UploadCatalog(database, settings), discardCatalog: new DiscardCatalog(database) };
}

/** A node of its own beside others on the same catalog and storage. */
export function startNode(
  database: Database,
  storage: MemoryObjectStorage,
  settings: Partial<RelaySettings> = {},
  evidence = SURE_OF_STORAGE,
  openCatalogs: (settings: UploadCatalogSettings) => TestCatalogs = (settings) => catalogsOf(database, settings),
) {
  const clock = impatientClock();
  const events: FileEvent[] = [];
  const { catalog, discardCatalog } = openCatalogs({
    uploadExpiresSecs: settings.uploadExpiresSecs ?? 3_600,
    discardRecheckSecs: 1800,
    onEnded: (ended) => events.push(eventOfEnd(ended)),
  });
  const jobs: { queue: string; data: unknown }[] = [];
  const queue: JobEnqueuer = {
    async enqueue(_handle, name, data) {
      jobs.push({ queue: name, data });
    },
  };
  const finished: string[] = [];
  const end: EndOfBytes = {
    fileOf: (upload) => ({ ...fileOf(upload), thumbnailsPending: true }),
    async recordFinished(_trx, upload) {
      finished.push(upload.uploadId);
    },
    enqueueCompletion: (trx, uploadId) => enqueueCompletion(queue, trx, uploadId),
  };
  const failures: unknown[] = [];
  const discards = new DiscardWorker(discardCatalog, storage, evidence, (error) => failures.push(error));
  const budget = new MemoryBudget(16 * 1024 * 1024, 1000, noSpilling(), clock.now);
  const lost: string[] = [];
  const completer = new UploadCompleter({ database, catalog, storage, clock, end, evidence });
  const relay = new UploadRelay(
    {
      maxUploadBytes: 1e9,
      partBytes: 1000,
      tailTiers: TAIL_TIERS,
      maxParts: 10_000,
      idleBodyMs: 10_000,
      s3CallMs: 90_000,
      keyPrefix: '',
      uploadExpiresSecs: 3_600,
      ...settings,
    },
    {
      ...{ database, catalog, storage, completer, discards, evidence, end, clock, budget },
      onLost: (uploadId) => lost.push(uploadId),
      tails: new TailMemory(budget),
      isLockShared: () => true,
      calls: null,
      events: { publish: (event) => events.push(event) },
    },
  );
  return {
    catalog,
    relay,
    budget,
    completer,
    discards,
    queue,
    jobs,
    end,
    finished,
    lost,
    events,
    evidence,
    failures,
    clock,
  };
}

/** These tests stay far below their memory. */
function noSpilling(): SpillStore {
  const openFile = () => Promise.reject(new Error('a test of the relay wanted to spill'));
  return new SpillStore(openFile, { capBytes: 0, now: () => 0, onFailure: () => {} });
}

/** What the completion job works with on such a node; a refusal is given up after a day. */
export function completionParts({ completer, catalog, evidence }: TestNode): CompletionJobDependencies {
  return { completer, catalog, evidence, giveUpRefusedSecs: 86_400 };
}

export type TestNode = ReturnType<typeof startNode>;

/** A body that has come whole. */
export function bodyOf(bytes: Uint8Array, stop = new AbortController().signal) {
  return { source: Readable.from([bytes], { objectMode: false }), declaredBytes: bytes.length, stop };
}

/** Bytes that tell where they belong. */
export function patternBytes(count: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(count);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < count; i += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}
