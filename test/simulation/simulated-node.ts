/** One process of the server: the relay as it is, on the stand-ins. A killed one is replaced by a fresh one. */
import type { Claim, NewUpload } from '../../src/catalog/upload-catalog.ts';
import type { UploadRecord } from '../../src/catalog/upload-record.ts';
import { fileOf } from '../../src/pipeline/finish.ts';
import { type Clock, wakefulNow } from '../../src/relay/clock.ts';
import { UploadCompleter } from '../../src/relay/complete-upload.ts';
import { type CompletionJobDependencies, enqueueCompletion, runCompletionJob } from '../../src/relay/completion-job.ts';
import { DiscardWorker } from '../../src/relay/discard-worker.ts';
import { UploadExpirer } from '../../src/relay/expire-uploads.ts';
import { SpillStore } from '../../src/relay/spill-store.ts';
import { StorageCanary } from '../../src/relay/storage-canary.ts';
import { Sweeper } from '../../src/relay/sweep.ts';
import { TailMemory } from '../../src/relay/tail-memory.ts';
import type { EndOfBytes } from '../../src/relay/upload-ledger.ts';
import { UploadRelay } from '../../src/relay/upload-relay.ts';
import { MemoryCanaryCatalog } from '../support/memory-canary-catalog.ts';
import { MemoryDatabase, type MemoryDatabaseServer, type MemoryJob } from '../support/memory-database.ts';
import { MemoryDiscardCatalog } from '../support/memory-discard-catalog.ts';
import { MemoryExpiryCatalog } from '../support/memory-expiry-catalog.ts';
import { MemorySweepCatalog } from '../support/memory-sweep-catalog.ts';
import { insertMemoryFile, MemoryUploadCatalog } from '../support/memory-upload-catalog.ts';
import type { History } from './history.ts';
import { MemoryJobQueue } from './memory-job-queue.ts';
import type { FaultRates, Scenario } from './scenario.ts';
import { type Scheduler, type SimulatedProcess, simulatedContext } from './scheduler.ts';
import { IDLE_TRANSACTION_MS, SimulatedGate } from './simulated-gate.ts';
import { type SimulatedBucket, SimulatedS3 } from './simulated-s3.ts';
import { SqueezedBudget } from './squeezed-budget.ts';

const DISCARD_RECHECK_SECS = 3_000;
/** More than a run needs: what happens when memory is spent has tests of its own. */
const BUFFER_BYTES = 16 * 1024 * 1024;

export interface NodeSurroundings {
  scheduler: Scheduler;
  server: MemoryDatabaseServer;
  bucket: SimulatedBucket;
  history: History;
  scenario: Scenario;
  faults: () => FaultRates;
}

/** The process is gone: what a client, or the queue, sees of it. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError';
}

export class SimulatedNode implements SimulatedProcess {
  readonly name: string;
  isAlive = true;
  pausedUntilMs = 0;
  abandonTransaction: (() => void) | null = null;
  /** Of the naps before the present one. */
  #sleptMs = 0;
  /** When the machine was suspended the last time; null: it was only the process that stood still. */
  #sleepsFromMs: number | null = null;
  #wallBehindMs = 0;
  readonly relay: UploadRelay;
  readonly canary: StorageCanary;
  readonly #sweeper: Sweeper;
  readonly #jobDependencies: CompletionJobDependencies;
  readonly #scheduler: Scheduler;
  readonly #killed = Promise.withResolvers<never>();

  constructor(name: string, surroundings: NodeSurroundings) {
    const { scheduler, server, bucket, history, scenario, faults } = surroundings;
    this.name = name;
    this.#scheduler = scheduler;
    this.#killed.promise.catch(() => {});
    const database = new MemoryDatabase(server, new SimulatedGate(scheduler, this, faults));
    const catalog = new WatchedCatalog(
      database,
      { uploadExpiresSecs: scenario.uploadExpiresSecs, discardRecheckSecs: DISCARD_RECHECK_SECS },
      history,
    );
    const storage = new SimulatedS3(bucket, scheduler, this, faults);
    const queue = new MemoryJobQueue(database);
    const clock: Clock = {
      now: wakefulNow(
        () => this.#monotonicMs(),
        () => scheduler.nowMs - this.#wallBehindMs,
      ),
      sleep: (ms, signal) => this.#sleep(ms, signal),
      alarm: (ms, ring) => {
        const task = scheduler.add({ label: 'alarm', atMs: scheduler.nowMs + ms, owner: this, run: ring });
        return () => scheduler.remove(task);
      },
      random: () => scheduler.random.next(),
    };
    const end: EndOfBytes = {
      // With and without jobs, so that both ways of recording a file are taken.
      fileOf: (upload) => ({ ...fileOf(upload), thumbnailsPending: scheduler.random.chance(0.5) }),
      recordFinished: (trx, upload) =>
        database.write(trx, 'insertFile', (tables) => insertMemoryFile(tables, fileOf(upload))),
      enqueueCompletion: (trx, uploadId) => enqueueCompletion(queue, trx, uploadId),
    };
    const onFailure = (error: unknown) => scheduler.say(`${name} background failure: ${messageOf(error)}`);
    const canary = new StorageCanary({
      ...{ storage, clock, keyPrefix: '' },
      catalog: new MemoryCanaryCatalog(database),
      identity: { read: async () => ({ catalogId: 'catalog', generation: null, pending: null, rotationDue: false }) },
      marker: { demandNamed: async () => {}, demandCurrent: async () => {}, demandOurs: async () => {} },
      onChange: (problem) => scheduler.say(`${name}: ${problem === null ? 'our storage' : 'not our storage'}`),
    });
    this.canary = canary;
    const discards = new DiscardWorker(new MemoryDiscardCatalog(database), storage, canary, onFailure);
    const completer = new UploadCompleter({ database, catalog, storage, clock, end, evidence: canary });
    const { random } = scheduler;
    const budget = new SqueezedBudget(BUFFER_BYTES, scenario.partBytes, withoutSpilling(clock), clock.now, random);
    this.relay = new UploadRelay(
      {
        ...{ maxUploadBytes: 1e6, maxParts: 1_000, idleBodyMs: 30_000, s3CallMs: 90_000, keyPrefix: '' },
        ...{ partBytes: scenario.partBytes, tailTiers: scenario.tailTiers },
        uploadExpiresSecs: scenario.uploadExpiresSecs,
      },
      {
        ...{ database, catalog, storage, completer, discards, end, clock, budget },
        evidence: canary,
        onLost: () => {},
        tails: new TailMemory(budget),
        isLockShared: () => scenario.isLockShared,
        calls: null,
        events: { publish: (event) => history.told(event) },
      },
    );
    const expiry = new MemoryExpiryCatalog(database, { discardRecheckSecs: DISCARD_RECHECK_SECS });
    this.#sweeper = new Sweeper({
      ...{ database, queue, discards, onFailure },
      expirer: new UploadExpirer({ database, expiry, storage, end, evidence: canary }),
      sweeps: new MemorySweepCatalog(database),
      // Kept by the timer alone, which does not run here.
      marker: { keep: async () => {} },
      canary: { keep: async () => {}, check: async () => {} },
    });
    // Refusals are random here, and nothing that ends an upload.
    this.#jobDependencies = { completer, catalog, evidence: canary, giveUpRefusedSecs: Number.POSITIVE_INFINITY };
  }

  /**
   * Runs a request in this process.
   *
   * @param content index of the content that it brings; null: none
   * @throws ConnectionLostError when the process is killed meanwhile
   */
  serve<T>(content: number | null, work: (relay: UploadRelay) => Promise<T>): Promise<T> {
    const context = { scheduler: this.#scheduler, process: this, content };
    const served = simulatedContext.run(context, () => work(this.relay));
    return Promise.race([served, this.#killed.promise]);
  }

  sweep(): Promise<void> {
    return this.serve(null, async () => {
      await this.canary.keep().catch((error) => this.#scheduler.say(`${this.name} canary: ${messageOf(error)}`));
      const { failures } = await this.#sweeper.sweep();
      for (const failure of failures) this.#scheduler.say(`${this.name} sweep: ${messageOf(failure)}`);
    });
  }

  runJob(job: MemoryJob): Promise<void> {
    const data = job.data as { uploadId: string };
    return this.serve(null, () => runCompletionJob(data, this.#jobDependencies));
  }

  /** SIGKILL: whatever it was doing never goes on; what it has sent may be lost, arrive, or arrive late. */
  kill(): void {
    const scheduler = this.#scheduler;
    this.isAlive = false;
    this.abandonTransaction?.();
    for (const task of [...scheduler.tasks]) {
      if (task.wire?.sender !== this) continue;
      const { deadlineMs, inKill, onDropped } = task.wire;
      if (inKill === 'kept') continue;
      const fate = scheduler.random.next();
      if (fate < 0.4 || inKill === 'lost') {
        scheduler.remove(task);
        onDropped?.();
      } else if (fate < 0.7 && deadlineMs > scheduler.nowMs) {
        task.atMs = scheduler.nowMs + scheduler.random.anyMagnitude(1, deadlineMs - scheduler.nowMs);
      }
    }
    this.#killed.reject(new ConnectionLostError(`${this.name} is gone`));
  }

  /** The process stands still; of a machine that is suspended, so does its monotonic clock. */
  pause(ms: number): void {
    const { nowMs, random } = this.#scheduler;
    this.#sleptMs = nowMs - this.#monotonicMs();
    this.pausedUntilMs = nowMs + ms;
    this.#sleepsFromMs = random.chance(0.5) ? nowMs : null;
    // Somebody sets the clock of a machine that is awake.
    if (this.#sleepsFromMs === null && random.chance(0.3)) this.#wallBehindMs += random.anyMagnitude(100, 2 * ms);
    // The database does not wait for ever for a silent client that holds rows.
    if (ms > IDLE_TRANSACTION_MS || this.#scheduler.random.chance(0.5)) this.abandonTransaction?.();
  }

  #monotonicMs(): number {
    const { nowMs } = this.#scheduler;
    const asleepMs = this.#sleepsFromMs === null ? 0 : Math.min(nowMs, this.pausedUntilMs) - this.#sleepsFromMs;
    return nowMs - this.#sleptMs - asleepMs;
  }

  #sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (signal?.aborted) return Promise.reject(signal.reason);
    const scheduler = this.#scheduler;
    const task = scheduler.add({ label: 'sleep', atMs: scheduler.nowMs + ms, owner: this, run: resolve });
    signal?.addEventListener('abort', () => {
      scheduler.remove(task);
      reject(signal.reason);
    });
    return promise;
  }
}

/** Remembers whose content a claim is for. */
class WatchedCatalog extends MemoryUploadCatalog {
  readonly #history: History;

  constructor(
    database: MemoryDatabase,
    settings: { uploadExpiresSecs: number; discardRecheckSecs: number },
    history: History,
  ) {
    super(database, settings);
    this.#history = history;
  }

  override create(upload: NewUpload, ...rest: [db?: Parameters<MemoryUploadCatalog['create']>[1]]) {
    if (upload.writer !== null) this.#register(upload.writer);
    return super.create(upload, ...rest);
  }

  override claim(claim: Claim): Promise<UploadRecord | null> {
    this.#register(claim.token);
    return super.claim(claim);
  }

  #register(token: string): void {
    this.#history.registerToken(token, simulatedContext.getStore()?.content ?? 0);
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

function withoutSpilling(clock: Clock): SpillStore {
  const refuse = () => Promise.reject(new Error('a simulated node wanted to spill'));
  return new SpillStore(refuse, { capBytes: null, now: clock.now, onFailure: () => {} });
}
