/** Which database the server works with: the operator's Postgres, or the embedded PGlite. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataDirLock } from '../catalog/data-dir-lock.ts';
import type { Database } from '../catalog/database.ts';
import { DatabaseUnavailableError } from '../catalog/database-errors.ts';
import { openPglite } from '../catalog/pglite.ts';
import { openPostgres, type PostgresOptions } from '../catalog/postgres.ts';

const RETRY_MS = 500;

/**
 * @param lock of the data folder; used when there is no Postgres
 * @param onOutage called when Postgres goes away later, and with null when it is back
 * @param waitSecs how long a Postgres that cannot be reached is tried again
 * @throws StartError, or DatabaseUnavailableError when the time is over
 */
export async function openCatalog(
  databaseUrl: string | null,
  lock: DataDirLock | null,
  waitSecs: number,
  onOutage?: PostgresOptions['onOutage'],
): Promise<Database> {
  if (databaseUrl === null) {
    if (lock === null) throw new TypeError('PGlite needs the lock of its folder');
    return openPglite(lock);
  }
  const until = performance.now() + waitSecs * 1_000;
  for (;;) {
    try {
      return await openPostgres(databaseUrl, onOutage === undefined ? {} : { onOutage });
    } catch (error) {
      if (!(error instanceof DatabaseUnavailableError) || performance.now() + RETRY_MS >= until) throw error;
      await sleep(RETRY_MS);
    }
  }
}
