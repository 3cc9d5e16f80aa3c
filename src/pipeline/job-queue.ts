/**
 * Durable jobs, as rows of the catalog's own database: a job is enqueued with the transaction that makes it necessary,
 * and is there exactly when that was committed. A job may run twice (a worker that died, a lost answer), but never not at all.
 */
import { sql } from 'kysely';
import { fromKysely, PgBoss } from 'pg-boss';
import type { Database, Db, Trx } from '../catalog/database.ts';
import { translateDatabaseError } from '../catalog/database-errors.ts';
import { type JobData, QUEUE_DEFINITIONS, QUEUES, type QueueName, RETIRED_QUEUES } from './queues.ts';

export interface EnqueueOptions {
  /** Not before this many seconds from now, by the database's clock. */
  startAfterSecs?: number;
}

export interface WorkOptions {
  /** Jobs of this queue that this node runs at a time. */
  concurrency: number;
}

export interface RunningJob<Data> {
  readonly data: Data;
  /** 1 for the first try. */
  readonly attempt: number;
  /** Aborted when the job has used up its time, or the queue is stopped and has waited long enough. */
  readonly signal: AbortSignal;
}

/** What writers of jobs need. */
export interface JobEnqueuer {
  /**
   * Adds a job that exists once `handle` is committed. Dropped when the same upload or file has one waiting already
   * (queues.ts says which queues do that).
   *
   * @param handle the transaction to write with; the database itself only outside of any
   */
  enqueue<Q extends QueueName>(handle: Trx | Db, queue: Q, data: JobData[Q], options?: EnqueueOptions): Promise<void>;
}

export interface JobQueue extends JobEnqueuer {
  /** Makes the queues, to be called before anything is enqueued. @throws DatabaseUnavailableError */
  start(): Promise<void>;
  /** Runs jobs of a queue on this node. A handler that throws has its job tried again later, as queues.ts says. */
  work<Q extends QueueName>(
    queue: Q,
    options: WorkOptions,
    handler: (job: RunningJob<JobData[Q]>) => Promise<void>,
  ): Promise<void>;
  /** Takes no more jobs, waits `graceMs` for running ones, then aborts them (they will be tried again). Never throws. */
  stop(): Promise<void>;
}

/** The part of a logger that the queue uses. */
export interface QueueLog {
  warn(fields: object, message: string): void;
}

export interface JobQueueOptions {
  log: QueueLog;
  graceMs?: number;
}

export function createJobQueue(database: Database, options: JobQueueOptions): JobQueue {
  return new PgBossQueue(database, options.log, options.graceMs ?? 10_000);
}

class PgBossQueue implements JobQueue {
  readonly #database: Database;
  readonly #log: QueueLog;
  readonly #graceMs: number;
  readonly #boss: PgBoss;

  constructor(database: Database, log: QueueLog, graceMs: number) {
    this.#database = database;
    this.#log = log;
    this.#graceMs = graceMs;
    const isPostgres = database.kind === 'postgres';
    this.#boss = new PgBoss({
      ...database.queueConnection,
      schema: 'pgboss',
      useListenNotify: true,
      schedule: false,
      registerInstance: false,
      superviseIntervalSeconds: 30,
      monitorIntervalSeconds: 30,
      // Both are about servers with many sessions; PGlite has one, and no autovacuum.
      reindex: isPostgres,
      monitorVacuum: isPostgres,
    });
    // Unheard, an 'error' event would end the process. Polling goes on by itself.
    this.#boss.on('error', (error) => log.warn({ err: error }, 'the job queue had an error'));
    this.#boss.on('warning', (warning) => log.warn({ warning: warning.data }, warning.message));
  }

  async start(): Promise<void> {
    try {
      await this.#boss.start();
      // A dead letter queue comes before the queue that names it.
      const others = Object.values(QUEUES).filter((name) => name !== QUEUES.thumbnailFailed);
      for (const name of [QUEUES.thumbnailFailed, ...others]) {
        const { policy, options } = QUEUE_DEFINITIONS[name];
        await this.#boss.createQueue(name, { ...options, policy });
        // An existing queue keeps the settings of the version that made it, unless told.
        await this.#boss.updateQueue(name, options);
      }
      if (this.#database.kind === 'pglite') await this.#returnOrphans();
      await this.#dropRetired();
    } catch (error) {
      throw translateDatabaseError(error, 'query');
    }
  }

  async enqueue<Q extends QueueName>(
    handle: Trx | Db,
    queue: Q,
    data: JobData[Q],
    options: EnqueueOptions = {},
  ): Promise<void> {
    await this.#boss.send(queue, data, {
      db: fromKysely(handle),
      singletonKey: keyOf(data),
      ...(options.startAfterSecs === undefined ? {} : { startAfter: options.startAfterSecs }),
    });
  }

  async work<Q extends QueueName>(
    queue: Q,
    { concurrency }: WorkOptions,
    handler: (job: RunningJob<JobData[Q]>) => Promise<void>,
  ): Promise<void> {
    const { idlePollSecs, options } = QUEUE_DEFINITIONS[queue];
    const polling = {
      // Of a queue with `notify`: only where LISTEN is not to be had, as behind a transaction pooler.
      pollingIntervalSeconds: options.notify === true ? 1 : idlePollSecs,
      notifyPollingIntervalSeconds: idlePollSecs,
    };
    // Workers of one each, so that each is known by its id.
    for (let started = 0; started < concurrency; started += 1) {
      let workerId: string | null = null;
      workerId = await this.#boss.work<JobData[Q]>(queue, polling, async (jobs) => {
        try {
          for (const job of jobs) await this.#run(queue, job, handler);
        } finally {
          // Else it would wait for the next poll although a backlog was left when it took this job.
          if (workerId !== null) this.#boss.notifyWorker(workerId);
        }
      });
    }
  }

  async stop(): Promise<void> {
    try {
      // At this moment: pg-boss itself tells its workers only after it has ended its LISTEN.
      await Promise.all(Object.values(QUEUES).map((name) => this.#boss.offWork(name, { wait: false })));
      await this.#boss.stop({ graceful: true, timeout: this.#graceMs });
    } catch (error) {
      this.#log.warn({ err: error }, 'the job queue did not stop cleanly');
    }
  }

  async #run<Q extends QueueName>(
    queue: Q,
    job: { data: JobData[Q]; retryCount: number; signal: AbortSignal },
    handler: (job: RunningJob<JobData[Q]>) => Promise<void>,
  ): Promise<void> {
    const attempt = job.retryCount + 1;
    try {
      await handler({ data: job.data, attempt, signal: job.signal });
    } catch (error) {
      this.#log.warn({ err: error, queue, attempt, ...job.data }, 'a job failed and will be tried again');
      throw error;
    }
  }

  /** Jobs that wait in queues on which no node of this version works. */
  async #dropRetired(): Promise<void> {
    await sql`
      DELETE FROM pgboss.job WHERE name = ANY(${[...RETIRED_QUEUES]}) AND state IN ('created', 'retry')`.execute(
      this.#database.db,
    );
  }

  /**
   * Jobs that a killed server was running. With PGlite nobody else can be running them, so they go back at once rather
   * than after their heartbeat has been missed.
   */
  async #returnOrphans(): Promise<void> {
    const { rows } = await sql<{ id: string; name: string }>`
      SELECT id, name FROM pgboss.job WHERE state = 'active'`.execute(this.#database.db);
    for (const { id, name } of rows) {
      await this.#boss.fail(name, id, { message: 'the server ended while the job was running' });
    }
  }
}

/** Each job is about one upload or one file (a file's id is its upload's). */
function keyOf(data: JobData[QueueName]): string {
  return 'uploadId' in data ? data.uploadId : data.fileId;
}
