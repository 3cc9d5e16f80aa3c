import { UnavailableError } from '../errors.ts';

/**
 * refused: the database certainly did nothing of the statement or transaction. unknown: the answer was lost, it may
 * have been committed; who must know reads the row (design section 4, "Commit").
 */
export type DatabaseOutcome = 'refused' | 'unknown';

/** The database cannot be reached, is shutting down, or has no room for us: the one shape in which that leaves `src/catalog`. */
export class DatabaseUnavailableError extends UnavailableError {
  override readonly name: string = 'DatabaseUnavailableError';
  readonly outcome: DatabaseOutcome;

  constructor(outcome: DatabaseOutcome, message: string, options?: ErrorOptions) {
    super('database', message, options);
    this.outcome = outcome;
  }
}

const NETWORK_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT', // the socket file of a server that is not running
]);

/** The server broke off: a commit may have happened before. Class 08 is "connection exception". */
const BROKEN_OFF = /^(08...|57P0[1-5]|25P03)$/;

/** The server refused, and may accept later: class 53 (no room), timeouts, locks, a standby after a failover. */
const REFUSED_FOR_NOW = /^(53...|57014|55P03|40001|40P01|25006)$/;

/** pg and PGlite give these no code. */
const LOST_MESSAGES = [
  'Connection terminated',
  'Query read timeout',
  'Client has encountered a connection error',
  'Client was closed',
  'timeout exceeded when trying to connect',
  'timeout expired',
  'Cannot use a pool after calling end',
  'PGlite is closed',
  'PGlite is closing',
  'driver has already been destroyed',
  'Postgres connection has been discarded', // Kysely's, of a connection that an earlier error broke
];

/** The code of a driver's error: an SQLSTATE (`53300`) or the network's (`ECONNREFUSED`); null when it has none. */
export function databaseErrorCode(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}

/**
 * Translates a driver's error at the boundary.
 *
 * @param phase 'connect': no statement had been sent, so the outcome is known whatever happened
 * @returns a {@link DatabaseUnavailableError} when trying again later can help, else the error as it is
 */
export function translateDatabaseError(error: unknown, phase: 'connect' | 'query'): unknown {
  if (error instanceof UnavailableError) return error;
  const loss = lossOf(error);
  if (loss === null) return error;
  const outcome = phase === 'connect' ? 'refused' : loss;
  return new DatabaseUnavailableError(outcome, `the database is not available: ${reasonOf(error)}`, { cause: error });
}

function lossOf(error: unknown): DatabaseOutcome | null {
  if (!(error instanceof Error)) return null;
  const code = databaseErrorCode(error);
  if (code !== null && (NETWORK_CODES.has(code) || BROKEN_OFF.test(code))) return 'unknown';
  if (code !== null && REFUSED_FOR_NOW.test(code)) return 'refused';
  return LOST_MESSAGES.some((message) => error.message.includes(message)) ? 'unknown' : null;
}

/** Short, and free of what a connection string holds: pg's messages name at most host, user and database. */
function reasonOf(error: unknown): string {
  const code = databaseErrorCode(error);
  const message = error instanceof Error ? error.message.split('\n', 1)[0] : '';
  return message ? message : (code ?? 'no answer');
}
