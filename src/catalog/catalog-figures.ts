/** Counts of the catalog for the metrics: each from an index, and never of more than {@link COUNT_LIMIT} rows. */
import { sql } from 'kysely';
import type { Database } from './database.ts';

/** A count that stands at it means "this many or more". */
export const COUNT_LIMIT = 100_000;

/** Finished uploads stay as long as their files do, and are not counted: that would read the whole table. */
export const COUNTED_STATES = ['open', 'completing', 'terminated', 'expired', 'lost', 'failed'] as const;

/**
 * @returns a number for each of {@link COUNTED_STATES}; ended ones count until the sweeper forgets them, lost and failed
 *   ones until an operator has acknowledged them
 */
export async function countUploads({ db }: Pick<Database, 'db'>): Promise<Map<string, number>> {
  const { rows } = await sql<{ state: string; uploads: number }>`
    SELECT state, count(*)::int AS uploads FROM (
      (SELECT state FROM uploads WHERE state = 'open' LIMIT ${COUNT_LIMIT})
      UNION ALL (SELECT state FROM uploads WHERE state = 'completing' LIMIT ${COUNT_LIMIT})
      UNION ALL (SELECT state FROM uploads WHERE ended_at IS NOT NULL AND acknowledged_at IS NULL LIMIT ${COUNT_LIMIT})
    ) AS counted GROUP BY state`.execute(db);
  const counts = new Map<string, number>(COUNTED_STATES.map((state) => [state, 0]));
  for (const { state, uploads } of rows) if (counts.has(state)) counts.set(state, uploads);
  return counts;
}

/** @returns how many objects and multipart uploads wait to be deleted for the first time */
export async function countUndeleted({ db }: Pick<Database, 'db'>): Promise<number> {
  const { rows } = await sql<{ waiting: number }>`
    SELECT count(*)::int AS waiting FROM (SELECT FROM discards WHERE deleted_at IS NULL LIMIT ${COUNT_LIMIT}) AS counted
  `.execute(db);
  return rows[0]?.waiting ?? 0;
}
