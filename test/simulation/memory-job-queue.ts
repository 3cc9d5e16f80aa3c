import type { Db, Trx } from '../../src/catalog/database.ts';
import type { EnqueueOptions, JobEnqueuer } from '../../src/pipeline/job-queue.ts';
import type { JobData, QueueName } from '../../src/pipeline/queues.ts';
import type { MemoryDatabase } from '../support/memory-database.ts';

/** Jobs as rows of the memory catalog: there exactly when the transaction that enqueued them was committed. */
export class MemoryJobQueue implements JobEnqueuer {
  readonly #database: MemoryDatabase;

  constructor(database: MemoryDatabase) {
    this.#database = database;
  }

  /** Policy 'exclusive', as queues.ts has it for completions: dropped while another one waits or runs. */
  enqueue<Q extends QueueName>(
    handle: Trx | Db,
    queue: Q,
    data: JobData[Q],
    options: EnqueueOptions = {},
  ): Promise<void> {
    const { now } = this.#database.server;
    return this.#database.write(handle, `enqueue ${queue}`, (tables) => {
      const key = keyOf(data);
      if ([...tables.jobs.values()].some((job) => job.queue === queue && keyOf(job.data) === key)) return;
      tables.serial += 1;
      tables.jobs.set(tables.serial, {
        jobId: tables.serial,
        queue,
        data: { ...data },
        state: 'waiting',
        startAtMs: now() + (options.startAfterSecs ?? 0) * 1000,
        attempt: 0,
      });
    });
  }
}

function keyOf(data: Readonly<Record<string, unknown>>): unknown {
  return data.uploadId ?? data.fileId;
}
