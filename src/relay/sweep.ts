import type { Database } from '../catalog/database.ts';
import type { UploadCatalogPort } from '../catalog/upload-catalog.ts';
import type { JobEnqueuer } from '../pipeline/job-queue.ts';
import { enqueueCompletion } from './completion-job.ts';
import type { DiscardWorker } from './discard-worker.ts';

const BATCH = 100;

export interface SweeperDependencies {
  database: Database;
  catalog: UploadCatalogPort;
  queue: JobEnqueuer;
  discards: DiscardWorker;
  onFailure: (error: unknown) => void;
}

/**
 * Finds what nobody is going to come back for: uploads whose time is over, completions that nobody carries on, discards
 * that are still to be removed. Every node may sweep; each step is conditional and in bounded batches.
 */
export class Sweeper {
  readonly #dependencies: SweeperDependencies;
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(dependencies: SweeperDependencies, everyMs = 30_000) {
    this.#dependencies = dependencies;
    this.#everyMs = everyMs;
  }

  /** Sweeps at once, since a restart is when there is most to find, and then at intervals. */
  start(): void {
    this.#timer = setTimeout(() => {
      this.#running = this.sweep()
        .catch(this.#dependencies.onFailure)
        .finally(() => {
          if (this.#timer !== null) this.#timer.refresh();
        });
    }, this.#everyMs);
    this.#running = this.sweep().catch(this.#dependencies.onFailure);
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.#running;
    await this.#dependencies.discards.idle();
  }

  async sweep(): Promise<void> {
    await this.expireOverdue();
    await this.#resumeCompletions();
    this.#dependencies.discards.kick();
    while ((await this.#dependencies.discards.recheck()) > 0);
  }

  /** @returns how many uploads have expired */
  async expireOverdue(): Promise<number> {
    for (let count = 0; ; ) {
      const ended = await this.#dependencies.catalog.expireOverdue(BATCH);
      count += ended.length;
      if (ended.length < BATCH) return count;
    }
  }

  async #resumeCompletions(): Promise<void> {
    const { catalog, database, queue } = this.#dependencies;
    const uploadIds = await catalog.findStuckCompletions(BATCH);
    if (uploadIds.length === 0) return;
    await database.transaction(async (trx) => {
      for (const uploadId of uploadIds) await enqueueCompletion(queue, trx, uploadId, 0);
    });
  }
}
