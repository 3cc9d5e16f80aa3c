import { type Kysely, sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import { StartError } from '../errors.ts';
import { translateDatabaseError } from './database-errors.ts';
import * as initial from './migrations/0001-initial.ts';
import * as storageCanary from './migrations/0002-storage-canary.ts';
import * as decodingAttempts from './migrations/0004-decoding-attempts.ts';
import * as discardBackoff from './migrations/0006-discard-backoff.ts';
import * as acknowledged from './migrations/0008-acknowledged.ts';
import * as canaryMissed from './migrations/0009-canary-missed.ts';
import type { Schema } from './schema.ts';

/** In order of their names; a name is never changed once released. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-initial': initial,
  '0002-storage-canary': storageCanary,
  '0004-decoding-attempts': decodingAttempts,
  '0006-discard-backoff': discardBackoff,
  '0008-acknowledged': acknowledged,
  '0009-canary-missed': canaryMissed,
};

const MIGRATION_TABLE = 'schema_migrations';

/**
 * Brings the schema up to this program's. Safe when many nodes start at once: Kysely runs the migrations in one
 * transaction under a Postgres advisory lock, and who comes second finds nothing left to do.
 *
 * @throws StartError when the database was migrated by a newer program, or a migration fails
 */
export async function migrate(db: Kysely<Schema>, migrations = MIGRATIONS): Promise<void> {
  await refuseNewerSchema(db, migrations);
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => ({ ...migrations }) },
    migrationTableName: MIGRATION_TABLE,
    migrationLockTableName: `${MIGRATION_TABLE}_lock`,
  });
  const { error, results } = await migrator.migrateToLatest();
  if (error === undefined) return;
  const translated = translateDatabaseError(error, 'query');
  if (translated !== error) throw translated;
  const failed = results?.find((result) => result.status === 'Error')?.migrationName;
  const what = failed === undefined ? 'the catalog cannot be migrated' : `migration ${failed} of the catalog failed`;
  throw new StartError(`${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}

async function refuseNewerSchema(db: Kysely<Schema>, known: Readonly<Record<string, Migration>>): Promise<void> {
  const { rows: tables } = await sql<{ found: string | null }>`
    SELECT to_regclass(${MIGRATION_TABLE})::text AS found`.execute(db);
  if (tables[0]?.found == null) return;
  const { rows } = await sql<{ name: string }>`
    SELECT name FROM ${sql.table(MIGRATION_TABLE)} ORDER BY name`.execute(db);
  const unknown = rows.map((row) => row.name).filter((name) => !(name in known));
  if (unknown.length === 0) return;
  throw new StartError(
    `the catalog was migrated by a newer tus-relay (it has ${unknown.join(', ')}, which this version does not know): ` +
      'run that version, or restore a backup from before the upgrade',
  );
}
