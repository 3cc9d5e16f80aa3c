import type { Database } from '../catalog/database.ts';
import type { DueWork, SweepCatalog } from '../catalog/sweep-catalog.ts';
import type { JobEnqueuer } from '../pipeline/job-queue.ts';
import { type BucketMarker, ForeignBucketError } from './bucket-marker.ts';
import { enqueueCompletion } from './completion-job.ts';
import type { DiscardTurn, DiscardWorker } from './discard-worker.ts';
import type { UploadExpirer } from './expire-uploads.ts';
import { isDenied, type StorageCanary, StorageElsewhereError } from './storage-canary.ts';

/** Rows of one statement. */
const BATCH = 100;
/** Batches of each step in one turn: a huge backlog of one kind does not keep the others waiting. */
const MAX_BATCHES = 20;
/** The catalog says when the marker is due; how often it is asked. */
const MARKER_TURN_MS = 300_000;
/** Where the bucket is another catalog's, or denies the canary, that is said (and protested) once an hour. */
const FOREIGN_TURN_MS = 3_600_000;

/** How much of each kind a sweep has done. */
export interface SweepCounts extends DueWork {
  /** Uploads that were to expire and have been finished, since their objects were there. */
  adopted: number;
}

export interface SweepResult {
  counts: SweepCounts;
  /** What went wrong; the rest was done. */
  failures: Error[];
}

export interface SweeperDependencies {
  database: Database;
  expirer: Pick<UploadExpirer, 'endBatch'>;
  sweeps: Pick<SweepCatalog, 'findStuckCompletions' | 'purgeEnded'>;
  queue: JobEnqueuer;
  discards: Pick<DiscardWorker, 'removeUndone' | 'recheck'>;
  marker: Pick<BucketMarker, 'keep'>;
  canary: Pick<StorageCanary, 'keep' | 'check'>;
  onFailure: (error: unknown) => void;
  /** Called after a turn of the timer that found something to do. */
  onSwept?: (counts: SweepCounts) => void;
}

interface StepResult {
  count: number;
  adopted?: number;
  /** What was done is done; something else was not. */
  failure?: Error | null;
  /** The step stopped at its bound. */
  more: boolean;
}

/**
 * Finds what nobody is going to come back for: uploads whose time is over, completions that nobody carries on, discards
 * that are still to be removed or looked at once more, rows that have served. Every node may sweep; each step is
 * conditional, in bounded batches, and independent of the others' failures.
 */
export class Sweeper {
  readonly #dependencies: SweeperDependencies;
  readonly #everyMs: number;
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout | null = null;
  /** Turns come one after the other, whoever asks for them. */
  #lastTurn: Promise<unknown> = Promise.resolve();
  #lastTurnOfTimer: Promise<void> = Promise.resolve();
  #nextMarkerMs = 0;
  #completionsAfter: string | null = null;

  constructor(dependencies: SweeperDependencies, everyMs = 30_000) {
    this.#dependencies = dependencies;
    this.#everyMs = everyMs;
  }

  /** Sweeps at once, since a restart is when there is most to find, and then at intervals. */
  start(): void {
    this.#timer = setTimeout(() => this.#turnOfTimer(), this.#everyMs);
    this.#turnOfTimer();
  }

  /** Ends the turn that is under way at once: what was not done is found again. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#stop.abort();
    await this.#lastTurnOfTimer;
    await this.#lastTurn;
  }

  /** One turn: every step up to its bound. */
  async sweep(signal?: AbortSignal): Promise<SweepResult> {
    const { counts, failures } = await this.#turn(signal);
    return { counts, failures };
  }

  /** As many turns as there is work for, or until one makes no headway. */
  async sweepToTheEnd(signal?: AbortSignal): Promise<SweepResult> {
    const counts = nothingSwept();
    // What failed in a turn is not due in the next one, which therefore says nothing of it.
    const failures = new Map<string, Error>();
    for (;;) {
      const { more, ...turn } = await this.#turn(signal);
      for (const kind of KINDS) counts[kind] += turn.counts[kind];
      for (const failure of turn.failures) failures.set(failure.message, failure);
      if (!more || signal?.aborted) return { counts, failures: [...failures.values()] };
    }
  }

  /** @returns how many uploads have expired. @throws what kept some from it */
  async expireOverdue(): Promise<number> {
    const { count, failure } = await this.#expire(Number.POSITIVE_INFINITY, this.#stop.signal);
    if (failure) throw failure;
    return count;
  }

  #turnOfTimer(): void {
    this.#lastTurnOfTimer = this.#turn()
      .then(async ({ counts, failures }) => {
        // That it is another storage has been told when it was found, and is not told at each turn.
        for (const failure of failures) {
          if (!(failure instanceof StorageElsewhereError)) this.#dependencies.onFailure(failure);
        }
        if (KINDS.some((kind) => counts[kind] > 0)) this.#dependencies.onSwept?.(counts);
        await this.#keepMarker();
      })
      .catch(this.#dependencies.onFailure)
      .finally(() => {
        this.#timer?.refresh();
      });
  }

  #turn(asked?: AbortSignal): Promise<SweepResult & { more: boolean }> {
    const signal = asked === undefined ? this.#stop.signal : AbortSignal.any([asked, this.#stop.signal]);
    const turn = this.#lastTurn.then(() => this.#runSteps(signal));
    this.#lastTurn = turn;
    return turn;
  }

  /** Never rejects. */
  async #runSteps(signal: AbortSignal): Promise<SweepResult & { more: boolean }> {
    const { discards } = this.#dependencies;
    const work: Record<(typeof STEPS)[number], () => Promise<StepResult>> = {
      expired: () => this.#expire(MAX_BATCHES, signal),
      completionsResumed: () => this.#resumeCompletions(signal),
      removed: async () => toStep(await discards.removeUndone(MAX_BATCHES, signal)),
      rechecked: async () => toStep(await discards.recheck(MAX_BATCHES, signal)),
      purged: () => this.#purge(signal),
    };
    const counts = nothingSwept();
    const failures: Error[] = [];
    let more = false;
    for (const step of STEPS) {
      if (signal.aborted) break;
      try {
        const done = await work[step]();
        counts[step] = done.count;
        counts.adopted += done.adopted ?? 0;
        more ||= done.more && done.count + (done.adopted ?? 0) > 0;
        if (done.failure && !signal.aborted) failures.push(done.failure);
      } catch (error) {
        // What was cut short is no failure.
        if (!signal.aborted) failures.push(error instanceof Error ? error : new Error(String(error)));
      }
    }
    return { counts, failures, more };
  }

  async #expire(maxBatches: number, signal: AbortSignal): Promise<StepResult> {
    let [count, adopted] = [0, 0];
    let failure: Error | null = null;
    const unknown: string[] = [];
    for (let batch = 0; batch < maxBatches && !signal.aborted; batch += 1) {
      const done = await this.#dependencies.expirer.endBatch(BATCH, unknown, { signal });
      count += done.expired;
      adopted += done.adopted;
      failure ??= done.failure;
      unknown.push(...done.unknown);
      // Where S3 answers for none of them it will not for the next ones.
      const isEnd = !done.full || done.unknown.length >= BATCH;
      if (isEnd) return { count, adopted, failure, more: false };
    }
    return { count, adopted, failure, more: true };
  }

  async #purge(signal: AbortSignal): Promise<StepResult> {
    return inBatches(MAX_BATCHES, signal, () => this.#dependencies.sweeps.purgeEnded(BATCH));
  }

  /** The queue drops a job for an upload that has one waiting already. The next turn goes on where this one stops. */
  async #resumeCompletions(signal: AbortSignal): Promise<StepResult> {
    const { sweeps, database, queue } = this.#dependencies;
    const beganAfter = this.#completionsAfter;
    let count = 0;
    for (let batch = 0; batch < MAX_BATCHES && !signal.aborted; batch += 1) {
      const uploadIds = await sweeps.findStuckCompletions(BATCH, this.#completionsAfter);
      if (uploadIds.length > 0) {
        await database.transaction(async (trx) => {
          for (const uploadId of uploadIds) await enqueueCompletion(queue, trx, uploadId, 0);
        });
      }
      count += uploadIds.length;
      const isEnd = uploadIds.length < BATCH;
      this.#completionsAfter = isEnd ? null : (uploadIds.at(-1) ?? null);
      if (isEnd) return { count, more: beganAfter !== null };
    }
    return { count, more: true };
  }

  async #keepMarker(): Promise<void> {
    const { canary, marker } = this.#dependencies;
    const options = { signal: this.#stop.signal };
    if (this.#stop.signal.aborted) return;
    if (performance.now() < this.#nextMarkerMs) {
      // What is stored until somebody notices that this is another storage stays there.
      await canary.check(options).catch(() => {});
      return;
    }
    try {
      const denied = await canary.keep(options).catch((error) => {
        if (!isDenied(error)) throw error;
        return error;
      });
      await marker.keep(options);
      this.#nextMarkerMs = performance.now() + MARKER_TURN_MS;
      if (denied !== undefined) {
        this.#nextMarkerMs = performance.now() + FOREIGN_TURN_MS;
        throw denied;
      }
    } catch (error) {
      if (this.#stop.signal.aborted || error instanceof StorageElsewhereError) return;
      if (error instanceof ForeignBucketError) this.#nextMarkerMs = performance.now() + FOREIGN_TURN_MS;
      throw error;
    }
  }
}

const STEPS = [
  'expired',
  'completionsResumed',
  'removed',
  'rechecked',
  'purged',
] as const satisfies (keyof SweepCounts)[];
const KINDS = [...STEPS, 'adopted'] as const satisfies (keyof SweepCounts)[];

export function nothingSwept(): SweepCounts {
  return { expired: 0, adopted: 0, completionsResumed: 0, removed: 0, rechecked: 0, purged: 0 };
}

function toStep({ removed, failure, more }: DiscardTurn): StepResult {
  return { count: removed, failure, more };
}

async function inBatches(maxBatches: number, signal: AbortSignal, run: () => Promise<number>): Promise<StepResult> {
  let count = 0;
  for (let batch = 0; batch < maxBatches && !signal.aborted; batch += 1) {
    const done = await run();
    count += done;
    if (done < BATCH) return { count, more: false };
  }
  return { count, more: true };
}
