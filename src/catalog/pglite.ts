import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { Kysely, sql } from 'kysely';
import { fromPglite } from 'pg-boss';
import { StartError } from '../errors.ts';
import type { DataDirLock } from './data-dir-lock.ts';
import type { Database } from './database.ts';
import { migrate } from './migrate.ts';
import { PGliteDialect } from './pglite-driver.ts';
import type { Schema } from './schema.ts';

const VACUUM_EVERY_MS = 10 * 60_000;

/**
 * Opens the embedded catalog in the locked data folder, and migrates it. Whoever opens it must hold the folder's lock,
 * and releases it after `close()`. PGlite survives any kill of the process, but not a power cut: it never syncs.
 *
 * @throws StartError when the files cannot be opened
 */
export async function openPglite(lock: DataDirLock): Promise<Database> {
  const folder = join(lock.dataDir, 'catalog');
  let pglite: PGlite;
  try {
    pglite = await PGlite.create(folder);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StartError(`the catalog in ${folder} cannot be opened: ${why}`, { cause: error });
  }
  return useMigrated(pglite);
}

/**
 * A catalog that is gone with the process; for tests.
 *
 * @param snapshot what `pglite.dumpDataDir()` of another gave: spares initdb and the migrations
 */
export async function openPgliteInMemory(snapshot?: Blob): Promise<Database & { readonly pglite: PGlite }> {
  const pglite = await PGlite.create(snapshot === undefined ? {} : { loadDataDir: snapshot });
  return { ...(await useMigrated(pglite)), pglite };
}

async function useMigrated(pglite: PGlite): Promise<Database> {
  const db = new Kysely<Schema>({ dialect: new PGliteDialect(pglite) });
  try {
    await migrate(db);
  } catch (error) {
    await pglite.close();
    throw error;
  }
  let closing: Promise<void> | null = null;
  // A failure shows in the next statement that somebody waits for.
  const vacuuming = setInterval(() => void vacuum(pglite).catch(() => {}), VACUUM_EVERY_MS);
  vacuuming.unref();
  return {
    kind: 'pglite',
    db,
    queueConnection: { backend: 'pglite', db: fromPglite(asQueueClient(pglite)) },
    transaction: (work) => db.transaction().execute(work),
    ping: async (signal) => {
      await sql`SELECT 1`.execute(db, signal === undefined ? {} : { signal });
    },
    // Not through Kysely, whose own "destroyed" error would take the place of ours.
    close: async () => {
      clearInterval(vacuuming);
      closing ??= pglite.close();
      await closing;
    },
  };
}

/**
 * PGlite has no autovacuum: every commit of an upload leaves a dead row behind, and the files would grow for ever. Uploads
 * wait while it works, which is why it comes often and has little to do each time.
 */
export async function vacuum(pglite: Pick<PGlite, 'exec'>): Promise<void> {
  await pglite.exec('VACUUM (ANALYZE)');
}

/**
 * pg-boss sends scripts of the form `BEGIN; …; COMMIT;`, and a separate ROLLBACK when one fails. Between the two
 * anybody's statement would run into the aborted transaction, so such a script runs inside `pglite.transaction()`,
 * which holds the session until it has rolled back. (The script's own BEGIN and COMMIT are then mere warnings.)
 */
function asQueueClient(pglite: PGlite) {
  return {
    query: <T>(text: string, params?: unknown[]) => pglite.query<T>(text, params),
    exec: (script: string) =>
      /^\s*BEGIN\b/i.test(script) ? pglite.transaction((handle) => handle.exec(script)) : pglite.exec(script),
    listen: (channel: string, onPayload: (payload: string) => void) => pglite.listen(channel, onPayload),
  };
}
