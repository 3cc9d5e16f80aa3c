import type { Kysely } from 'kysely';
import type { Trx } from './database.ts';
import { DatabaseUnavailableError, databaseErrorCode } from './database-errors.ts';
import type { Schema } from './schema.ts';

const MOST_TRIES = 3;
/** Who has waited this long for a database that hangs does not begin anew. */
const REPEAT_WITHIN_MS = 5_000;

/** serialization_failure, deadlock_detected: others were at the same rows. */
const LOST_A_RACE = new Set(['40001', '40P01']);

/**
 * A transaction that is run again when it certainly did nothing, and may succeed at once: it lost a race with others,
 * or the connection was lost before it asked for its commit. What a lost answer to a commit means only the row can tell,
 * and is its owner's affair (see `DatabaseOutcome`).
 *
 * @param work may run more than once: it changes nothing but the database
 */
export async function repeatedTransaction<T>(db: Kysely<Schema>, work: (trx: Trx) => Promise<T>): Promise<T> {
  const startedMs = performance.now();
  for (let tries = 1; ; tries += 1) {
    let committing = false;
    try {
      return await db.transaction().execute(async (trx) => {
        const result = await work(trx);
        committing = true;
        return result;
      });
    } catch (error) {
      const isOver = tries >= MOST_TRIES || performance.now() - startedMs > REPEAT_WITHIN_MS;
      if (isOver || !(error instanceof DatabaseUnavailableError)) throw error;
      const lostBefore = error.outcome === 'unknown' && !committing;
      if (!lostBefore && !LOST_A_RACE.has(databaseErrorCode(error.cause) ?? '')) throw error;
    }
  }
}
