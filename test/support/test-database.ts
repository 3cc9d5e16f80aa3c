/**
 * Catalogs for tests: PGlite in memory always, and Postgres too when `TEST_DATABASE_URL` names one (its user may create
 * databases). Each test has an empty, migrated catalog of its own.
 */
import { randomUUID } from 'node:crypto';
import { after, type TestContext, test } from 'node:test';
import { sql } from 'kysely';
import pg from 'pg';
import type { Database } from '../../src/catalog/database.ts';
import { openPgliteInMemory } from '../../src/catalog/pglite.ts';
import { openPostgres } from '../../src/catalog/postgres.ts';

export type DatabaseKind = Database['kind'];
export type OpenTestDatabase = (t: TestContext) => Promise<Database>;
type MemoryDatabase = Awaited<ReturnType<typeof openPgliteInMemory>>;

/** Registers the same tests for every kind of database that is at hand. */
export function forEachTestDatabase(register: (kind: DatabaseKind, open: OpenTestDatabase) => void): void {
  register('pglite', openTestDatabase);
  const url = process.env.TEST_DATABASE_URL;
  if (url) register('postgres', (t) => openTestPostgres(t, url));
  else test('postgres: the same tests', { skip: 'TEST_DATABASE_URL is not set' }, () => {});
}

/** Of earlier tests in this process, which run one after another. */
const idle: MemoryDatabase[] = [];
/** A dumped data folder, migrated: spares every further PGlite initdb, which takes two seconds. */
let snapshot: Promise<Blob> | null = null;

// A PGlite that is left open keeps the process waiting for ten seconds.
after(async () => {
  for (const database of idle.splice(0)) await database.close();
});

/** PGlite in memory. What is still open when the test is over is emptied and serves the next one. */
export async function openTestDatabase(t: TestContext): Promise<Database> {
  snapshot ??= takeSnapshot();
  await snapshot;
  const database = (await takeIdle()) ?? (await openFresh());
  t.after(() => {
    if (!database.pglite.closed) idle.push(database);
  });
  return database;
}

/** A catalog that no other test has used or will use; for tests that break it. */
export async function openFreshPglite(t: TestContext): Promise<MemoryDatabase> {
  const database = await openFresh();
  t.after(() => database.close());
  return database;
}

async function openFresh(): Promise<MemoryDatabase> {
  snapshot ??= takeSnapshot();
  return openPgliteInMemory(await snapshot);
}

async function takeSnapshot(): Promise<Blob> {
  const database = await openPgliteInMemory();
  const dumped = await database.pglite.dumpDataDir('none');
  idle.push(database);
  return dumped;
}

/** Emptied before its next use rather than after its last one, so that a test's own stopping is not in the way. */
async function takeIdle(): Promise<MemoryDatabase | null> {
  const database = idle.pop();
  if (database === undefined) return null;
  await sql`DROP SCHEMA IF EXISTS pgboss CASCADE`.execute(database.db);
  const { rows } = await sql<{ name: string }>`
    SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'schema_migrations%'
  `.execute(database.db);
  await sql`TRUNCATE ${sql.raw(rows.map((row) => row.name).join(', '))} RESTART IDENTITY`.execute(database.db);
  return database;
}

/** @returns the URL of a new, empty database, which is dropped when the test is over, whoever is still connected */
export async function createPostgresDatabase(t: TestContext, adminUrl: string): Promise<string> {
  const name = `tus_relay_test_${randomUUID().replaceAll('-', '')}`;
  await asAdmin(adminUrl, `CREATE DATABASE ${name}`);
  t.after(() => asAdmin(adminUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  return url.href;
}

async function openTestPostgres(t: TestContext, adminUrl: string): Promise<Database> {
  let database: Database | null = null;
  t.after(() => database?.close());
  database = await openPostgres(await createPostgresDatabase(t, adminUrl));
  return database;
}

async function asAdmin(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
