/**
 * The catalog's database: Postgres, or PGlite when embedded. Both speak the same SQL, so that everything above this
 * port is written once.
 */
import type { Kysely, Transaction } from 'kysely';
import type { ConstructorOptions } from 'pg-boss';
import type { Schema } from './schema.ts';

/** For statements outside a transaction, each of which is one of its own. */
export type Db = Kysely<Schema>;

/** For statements inside one. On PGlite, `db` used inside a transaction waits for itself for ever: use the handle. */
export type Trx = Transaction<Schema>;

/** What the job queue is constructed with, so that its jobs are rows of the same database. */
export type QueueConnection = Pick<
  ConstructorOptions,
  'backend' | 'db' | 'connectionString' | 'max' | 'connectionTimeoutMillis' | 'application_name'
>;

/** Connections of the pool now. */
export interface PoolFigures {
  total: number;
  idle: number;
  /** Statements that wait for a connection. */
  waiting: number;
}

/**
 * Whatever is run through it fails with `DatabaseUnavailableError` (database-errors.ts) when the database cannot be
 * reached, and with the driver's own error when it refused a statement.
 */
export interface Database {
  readonly kind: 'pglite' | 'postgres';
  readonly db: Db;
  readonly queueConnection: QueueConnection;
  /**
   * Commits when `work` resolves, rolls back when it rejects. On PGlite nothing else runs meanwhile, and on Postgres it
   * may run more than once (repeated-transaction.ts), so `work` does nothing but SQL.
   */
  transaction<T>(work: (trx: Trx) => Promise<T>): Promise<T>;
  /** Resolves when the database answers; for readiness. */
  ping(signal?: AbortSignal): Promise<void>;
  /** Absent where there is no pool (PGlite: one connection). */
  readonly poolFigures?: () => PoolFigures;
  /** Waits for running statements. Safe to call twice. */
  close(): Promise<void>;
}
