import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient, sql } from 'kysely';
import pg from 'pg';
import { StartError } from '../errors.ts';
import type { Database } from './database.ts';
import { DatabaseUnavailableError, databaseErrorCode, translateDatabaseError } from './database-errors.ts';
import { migrate } from './migrate.ts';
import { OutagePatience } from './outage-patience.ts';
import { repeatedTransaction } from './repeated-transaction.ts';
import type { Schema } from './schema.ts';

export interface PostgresOptions {
  /** Connections of this node's catalog; the job queue has {@link QUEUE_CONNECTIONS} of its own. */
  maxConnections?: number;
  connectTimeoutMs?: number;
  /** The server ends a statement that runs longer. */
  statementTimeoutMs?: number;
  /** How long statements wait for a server that has gone away. */
  outageWaitMs?: number;
  /** Called when no connection can be had any more, and with null when one can. */
  onOutage?: (problem: DatabaseUnavailableError | null) => void;
}

const QUEUE_CONNECTIONS = 3;
const INT8_OID = 20;

/**
 * Connects and migrates. Durability is the server's: acknowledged means stored only while `synchronous_commit` is on
 * (its default, never touched here).
 *
 * @throws StartError when trying again cannot help (password, database name, TLS), DatabaseUnavailableError when it
 *   can; neither names the password
 */
export async function openPostgres(url: string, options: PostgresOptions = {}): Promise<Database> {
  const { maxConnections = 10, connectTimeoutMs = 5_000, statementTimeoutMs = 15_000, outageWaitMs = 10_000 } = options;
  const pool = createPool(url, maxConnections, connectTimeoutMs, statementTimeoutMs);
  const patience = new OutagePatience(outageWaitMs, options.onOutage);
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: guarded(pool, patience) }) });
  let closing: Promise<void> | null = null;
  // Not through Kysely, whose own "destroyed" error would take the place of ours.
  const close = async () => {
    patience.end();
    closing ??= pool.end();
    await closing;
  };
  try {
    await sql`SELECT 1`.execute(db);
    await migrate(db);
  } catch (error) {
    await close();
    throw explainFailedStart(error, url);
  }
  patience.begin();
  return {
    kind: 'postgres',
    db,
    queueConnection: {
      connectionString: url,
      max: QUEUE_CONNECTIONS,
      connectionTimeoutMillis: connectTimeoutMs,
      application_name: 'tus-relay-queue',
    },
    transaction: (work) => repeatedTransaction(db, work),
    ping: () => ping(pool),
    poolFigures: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    close,
  };
}

function createPool(url: string, max: number, connectTimeoutMs: number, statementTimeoutMs: number): pg.Pool {
  let pool: pg.Pool;
  try {
    pool = new pg.Pool({
      connectionString: url,
      max,
      application_name: 'tus-relay',
      // Of the wait for a connection that is free: in the pool's sense a queue of requests is a slow connect.
      connectionTimeoutMillis: queueTimeoutMs(statementTimeoutMs),
      Client: clientClass(connectTimeoutMs),
      statement_timeout: statementTimeoutMs,
      // A node that dies in mid-transaction must not hold its row locks until TCP notices.
      idle_in_transaction_session_timeout: statementTimeoutMs,
      // The server's own timeout comes first; this one is for a network that swallows the answer.
      query_timeout: statementTimeoutMs + 5_000,
      keepAlive: true,
      // For this pool only: the global parsers belong to everyone in the process.
      types: { getTypeParser: getTypeParser as typeof pg.types.getTypeParser },
    });
  } catch (error) {
    throw new StartError('DATABASE_URL is not a Postgres connection URL', { cause: error });
  }
  // An idle connection that breaks (a restart of the server) is dropped by the pool; unheard, it would end the process.
  pool.on('error', () => {});
  // The pool's own listener is taken off a client while it is in use; a break between two statements would be unheard.
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

/** A burst of requests takes its turns; only statements that all run into their limit make it longer. */
function queueTimeoutMs(statementTimeoutMs: number): number {
  return 2 * statementTimeoutMs;
}

/** The pool hands its own options on to its clients, whose limit is for the connect alone. */
function clientClass(connectTimeoutMs: number): typeof pg.Client {
  return class extends pg.Client {
    constructor(options?: string | pg.ClientConfig) {
      super({ ...(options as pg.ClientConfig), connectionTimeoutMillis: connectTimeoutMs });
    }
  };
}

/** Byte counts are bigint columns far below 2^53 (schema.ts). */
function getTypeParser(oid: number, format?: 'text' | 'binary') {
  if (oid === INT8_OID && format !== 'binary') return parseInt8;
  return pg.types.getTypeParser(oid, format);
}

function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`the database sent an integer above 2^53: ${text}`);
  return value;
}

/** The pool as Kysely sees it: errors translated, and a connection that failed us never handed out again. */
function guarded(pool: pg.Pool, patience: OutagePatience): PostgresPool {
  return {
    options: pool.options,
    end: () => pool.end(),
    connect: () => patience.connect(() => connectGuarded(pool)),
  };
}

async function connectGuarded(pool: pg.Pool): Promise<PostgresPoolClient> {
  try {
    return guardedClient(await pool.connect());
  } catch (error) {
    throw translateDatabaseError(error, 'connect');
  }
}

/** Asked by readiness, which is to know at once: without patience. */
async function ping(pool: pg.Pool): Promise<void> {
  const client = await connectGuarded(pool);
  try {
    await client.query('SELECT 1', []);
  } finally {
    client.release();
  }
}

function guardedClient(client: pg.PoolClient): PostgresPoolClient {
  let lost: unknown = null;
  const query = async (text: string, parameters: readonly unknown[]) => {
    // After a lost answer the connection may still be busy with that statement: whatever followed would wait behind it.
    if (lost !== null) throw lost;
    try {
      return await client.query(text, [...parameters]);
    } catch (error) {
      const translated = translateDatabaseError(error, 'query');
      if (translated instanceof DatabaseUnavailableError && translated.outcome === 'unknown') lost = translated;
      throw translated;
    }
  };
  return {
    query: query as unknown as PostgresPoolClient['query'],
    release: (destroy) => client.release(destroy === true || lost !== null),
  };
}

/** SQLSTATEs with which a server turns a connection away for good. */
const REFUSALS: Readonly<Record<string, string>> = {
  '28P01': 'the user name or the password is wrong',
  '28000': 'the server does not let this user in',
  '3D000': 'there is no such database',
  '42501': 'the user may not create the tables',
};

function explainFailedStart(error: unknown, url: string): unknown {
  const where = describeTarget(url);
  const refusal = REFUSALS[databaseErrorCode(error) ?? ''];
  if (refusal !== undefined) return new StartError(`Postgres at ${where}: ${refusal}`, { cause: error });
  if (error instanceof DatabaseUnavailableError) {
    return new DatabaseUnavailableError(error.outcome, `Postgres at ${where}: ${error.message}`, { cause: error });
  }
  if (error instanceof StartError) return error;
  const why = error instanceof Error ? error.message : String(error);
  return new StartError(`Postgres at ${where} cannot be used: ${why}`, { cause: error });
}

/** Host, port and database of a connection URL; never its user or password. */
function describeTarget(url: string): string {
  const parsed = URL.parse(url);
  if (parsed === null) return 'DATABASE_URL';
  return `${parsed.host || parsed.searchParams.get('host') || 'the local socket'}${parsed.pathname}`;
}
