/**
 * Kysely on PGlite. Kysely brings a dialect of its own, which also goes through `pglite.transaction()`; but when the
 * BEGIN inside it fails (PGlite closing, a broken session) it waits for ever, and leaves an unhandled rejection.
 */
import type { PGlite, Transaction as PGliteTransaction } from '@electric-sql/pglite';
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type Kysely,
  PGliteAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
} from 'kysely';
import { translateDatabaseError } from './database-errors.ts';

export class PGliteDialect implements Dialect {
  readonly #pglite: PGlite;

  constructor(pglite: PGlite) {
    this.#pglite = pglite;
  }

  createDriver(): Driver {
    return new PGliteDriver(this.#pglite);
  }

  createAdapter() {
    return new SharedPGliteAdapter();
  }

  createQueryCompiler() {
    return new PostgresQueryCompiler();
  }

  // biome-ignore lint/suspicious/noExplicitAny: Kysely's own signature
  createIntrospector(db: Kysely<any>) {
    return new PostgresIntrospector(db);
  }
}

/** Each transaction has a connection object of its own; PGlite's mutex puts them in a row, first come, first served. */
class SharedPGliteAdapter extends PGliteAdapter {
  override get supportsMultipleConnections(): boolean {
    return true;
  }
}

class PGliteDriver implements Driver {
  readonly #pglite: PGlite;

  constructor(pglite: PGlite) {
    this.#pglite = pglite;
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    return new PGliteConnection(this.#pglite);
  }

  async beginTransaction(connection: PGliteConnection): Promise<void> {
    await connection.begin();
  }

  async commitTransaction(connection: PGliteConnection): Promise<void> {
    await connection.commit();
  }

  async rollbackTransaction(connection: PGliteConnection): Promise<void> {
    await connection.rollback();
  }

  async releaseConnection(): Promise<void> {}

  async destroy(): Promise<void> {
    if (!this.#pglite.closed) await this.#pglite.close();
  }
}

/** Why the callback of `pglite.transaction()` is left when we roll back; nobody sees it. */
const ROLLED_BACK = Symbol('rolled back');

class PGliteConnection implements DatabaseConnection {
  readonly #pglite: PGlite;
  #transaction: { handle: PGliteTransaction; end: PromiseWithResolvers<void>; ended: Promise<void> } | null = null;

  constructor(pglite: PGlite) {
    this.#pglite = pglite;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    try {
      const target = this.#transaction?.handle ?? this.#pglite;
      const { rows, affectedRows } = await target.query<R>(query.sql, [...query.parameters]);
      return { rows, ...(affectedRows === undefined ? {} : { numAffectedRows: BigInt(affectedRows) }) };
    } catch (error) {
      throw this.#translate(error, 'query');
    }
  }

  // biome-ignore lint/correctness/useYield: PGlite has no cursors over its extended protocol
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('PGlite cannot stream a query');
  }

  /** Resolves inside the callback of `pglite.transaction()`, which is then kept open until commit or rollback. */
  async begin(): Promise<void> {
    const begun = Promise.withResolvers<PGliteTransaction>();
    const end = Promise.withResolvers<void>();
    const ended = this.#pglite.transaction((handle) => {
      begun.resolve(handle);
      return end.promise;
    });
    ended.catch(begun.reject); // BEGIN itself failed; without effect once it had succeeded
    try {
      this.#transaction = { handle: await begun.promise, end, ended };
    } catch (error) {
      throw this.#translate(error, 'connect');
    }
  }

  async commit(): Promise<void> {
    const transaction = this.#leave();
    transaction?.end.resolve();
    try {
      await transaction?.ended;
    } catch (error) {
      throw this.#translate(error, 'query');
    }
  }

  /** After a failed commit there is nothing left to roll back: PGlite has ended the transaction. */
  async rollback(): Promise<void> {
    const transaction = this.#leave();
    transaction?.end.reject(ROLLED_BACK);
    await transaction?.ended.catch((reason: unknown) => {
      if (reason !== ROLLED_BACK) throw this.#translate(reason, 'query');
    });
  }

  /** What stood in PGlite's row behind `close()` is run all the same, and meets a TypeError in its emptied inside. */
  #translate(error: unknown, phase: 'connect' | 'query'): unknown {
    const known = this.#pglite.closed ? new Error('PGlite is closed', { cause: error }) : error;
    return translateDatabaseError(known, phase);
  }

  #leave() {
    const transaction = this.#transaction;
    this.#transaction = null;
    return transaction;
  }
}
