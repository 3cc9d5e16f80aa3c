/** What an operator sees and does of the jobs (`npm run jobs`). The queue's own tables, read and changed as it does. */
import { sql } from 'kysely';
import type { Database } from '../catalog/database.ts';
import { QUEUES, type QueueName } from './queues.ts';

export interface JobSummary {
  jobId: string;
  queue: string;
  /** created: waits for its first try. retry: for another one. active: runs. failed: is not tried any more. */
  state: 'created' | 'retry' | 'active' | 'failed';
  /** What it is about. */
  data: Record<string, unknown>;
  tries: number;
  /** ISO 8601: when it may run (again). */
  startsAt: string;
  createdAt: string;
  /** Of the last try that failed. */
  problem: string | null;
}

interface JobRow {
  id: string;
  name: string;
  state: JobSummary['state'];
  data: Record<string, unknown>;
  retry_count: number;
  start_after: Date;
  created_on: Date;
  output: { message?: unknown } | null;
}

export class JobAdmin {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Jobs that have not done their work, the oldest first. @param queue null: of all queues */
  async list(queue: QueueName | null, limit: number): Promise<JobSummary[]> {
    const names = queue === null ? Object.values(QUEUES) : [queue];
    const { rows } = await sql<JobRow>`
      SELECT id, name, state, data, retry_count, start_after, created_on, output FROM pgboss.job
      WHERE name IN (${sql.join(names)}) AND state IN ('created', 'retry', 'active', 'failed')
      ORDER BY created_on, id LIMIT ${limit}`.execute(this.#database.db);
    return rows.map((row) => ({
      jobId: row.id,
      queue: row.name,
      state: row.state,
      data: row.data,
      tries: row.retry_count + (row.state === 'active' ? 1 : 0),
      startsAt: row.start_after.toISOString(),
      createdAt: row.created_on.toISOString(),
      problem: typeof row.output?.message === 'string' ? row.output.message : null,
    }));
  }

  /**
   * A job that waits, or is not tried any more, may run at once.
   *
   * @returns false when there is no such job, or another one about the same has taken its place
   */
  async retry(jobId: string): Promise<boolean> {
    return this.#update(sql`
      UPDATE pgboss.job j SET start_after = now(), completed_on = NULL,
        state = CASE WHEN state = 'failed' THEN 'retry'::pgboss.job_state ELSE state END,
        retry_limit = CASE WHEN state = 'failed' THEN retry_count + 1 ELSE retry_limit END
      WHERE id = ${jobId}::uuid AND name IN (${sql.join(Object.values(QUEUES))})
        AND (state IN ('created', 'retry') OR state = 'failed' AND NOT EXISTS (
          SELECT FROM pgboss.job other WHERE other.name = j.name AND other.singleton_key = j.singleton_key
            AND other.state IN ('created', 'retry', 'active')))
      RETURNING id`);
  }

  /** The jobs about an upload that wait for their time may run at once. */
  async hurry(queue: QueueName, uploadId: string): Promise<boolean> {
    return this.#update(sql`
      UPDATE pgboss.job SET start_after = now()
      WHERE name = ${queue} AND singleton_key = ${uploadId} AND state IN ('created', 'retry') RETURNING id`);
  }

  /** Removes a job that is not running. @returns false when there is no such job */
  async discard(jobId: string): Promise<boolean> {
    return this.#update(sql`
      DELETE FROM pgboss.job WHERE id = ${jobId}::uuid AND name IN (${sql.join(Object.values(QUEUES))})
        AND state <> 'active' RETURNING id`);
  }

  async #update(statement: ReturnType<typeof sql>): Promise<boolean> {
    const { rows } = await statement.execute(this.#database.db);
    return rows.length > 0;
  }
}
