/** How many jobs there are, for the metrics. */
import { sql } from 'kysely';
import type { Database } from '../catalog/database.ts';
import { QUEUES } from './queues.ts';

export interface QueueFigures {
  queue: string;
  /** Could run now. */
  ready: number;
  /** Wait for their time: a retry's back-off, or a look that is planned. */
  deferred: number;
  active: number;
}

/** Reads what the queue counts every half minute, on whichever node: a few rows, however many jobs there are. */
export async function countJobs({ db }: Pick<Database, 'db'>): Promise<QueueFigures[]> {
  const names = Object.values(QUEUES);
  const { rows } = await sql<QueueFigures>`
    SELECT name AS queue, ready_count AS ready, deferred_count AS deferred, active_count AS active
    FROM pgboss.queue WHERE name IN (${sql.join(names)})`.execute(db);
  return rows;
}
