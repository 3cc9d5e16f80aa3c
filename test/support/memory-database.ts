/**
 * The catalog's tables in memory, with the guarantees that the relay takes from SQL: a statement or a transaction
 * happens whole or not at all, transactions one after the other. A gate stands in front of every statement, so that a
 * simulation can decide when each one runs and what its caller learns of it.
 */
import type { Database, Db, Trx } from '../../src/catalog/database.ts';
import { DatabaseUnavailableError } from '../../src/catalog/database-errors.ts';
import type { Discard } from '../../src/catalog/discard-catalog.ts';
import type { CompletionTrouble } from '../../src/catalog/schema.ts';
import type { CommittedPart, TailSegment } from '../../src/catalog/upload-catalog.ts';
import type { UploadRecord } from '../../src/catalog/upload-record.ts';

/** Rows are never changed in place: a copy of the maps is a copy of the tables. Times are in ms of the store's clock. */
export interface MemoryUpload extends Omit<UploadRecord, 'writerSilent' | 'overdue' | 'createdAt' | 'expiresAt'> {
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly writerSeenAtMs: number | null;
  readonly finishedAtMs: number | null;
  readonly endedAtMs: number | null;
  readonly trouble: { readonly kind: CompletionTrouble; readonly sinceMs: number } | null;
}

export interface MemoryDiscard extends Discard {
  readonly deletedAtMs: number | null;
  readonly recheckAtMs: number | null;
  readonly tries: number;
  readonly dueAtMs: number;
}

export interface MemoryJob {
  readonly jobId: number;
  readonly queue: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly state: 'waiting' | 'active';
  readonly startAtMs: number;
  readonly attempt: number;
}

export interface MemoryTables {
  readonly uploads: Map<string, MemoryUpload>;
  /** By upload, in order of their numbers. */
  readonly parts: Map<string, readonly CommittedPart[]>;
  /** By upload, in order of their sequences. */
  readonly tails: Map<string, readonly TailSegment[]>;
  /** File records: ids of their uploads, and their objects. */
  readonly files: Map<string, { readonly objectKey: string; readonly bytes: number }>;
  readonly discards: Map<number, MemoryDiscard>;
  readonly jobs: Map<number, MemoryJob>;
  /** Last number given to a discard or a job. */
  serial: number;
  canary: {
    readonly objectKey: string;
    readonly s3UploadId: string;
    readonly createdAtMs: number;
    readonly missed: boolean;
  } | null;
}

/** Decides when a statement runs and what its caller learns of it. */
export interface StatementGate {
  /**
   * @param kind read: sees what is committed, waits for nobody. write: a transaction of its own. begin, inside, commit:
   *   of a longer one
   * @param canRun false while another transaction holds the tables
   * @param execute carries the statement out; called at most once
   * @param abandon of a begin and a commit: the transaction's connection is gone, nothing of it may stay
   */
  pass<T>(
    kind: 'read' | 'write' | 'begin' | 'inside' | 'commit',
    label: string,
    canRun: () => boolean,
    execute: () => T,
    abandon?: () => void,
  ): Promise<T>;
}

/** The database server: what several nodes share. */
export class MemoryDatabaseServer {
  readonly now: () => number;
  /** Called after everything that was committed. */
  onCommitted: (label: string, before: MemoryTables, after: MemoryTables) => void = () => {};
  #tables: MemoryTables = emptyTables();
  #holder: MemoryTransaction | null = null;
  #waiters: (() => void)[] = [];

  /** @param now the database's clock, in ms */
  constructor(now: () => number = Date.now) {
    this.now = now;
  }

  /** What is committed. */
  get tables(): MemoryTables {
    return this.#tables;
  }

  get isFree(): boolean {
    return this.#holder === null;
  }

  /** Resolves when the transaction that holds the tables has ended. */
  released(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  write<T>(label: string, statement: (tables: MemoryTables) => T): T {
    const before = this.#tables;
    const after = copyOf(before);
    const result = statement(after);
    this.#tables = after;
    this.onCommitted(label, before, after);
    return result;
  }

  begin(transaction: MemoryTransaction): void {
    this.#holder = transaction;
    transaction.tables = copyOf(this.#tables);
  }

  commit(transaction: MemoryTransaction): void {
    if (this.#holder !== transaction || transaction.tables === null) throw connectionGone('COMMIT');
    const before = this.#tables;
    this.#tables = transaction.tables;
    this.rollBack(transaction);
    this.onCommitted(transaction.labels.join(' + '), before, this.#tables);
  }

  /** Nothing of it stays. Harmless after its end. */
  rollBack(transaction: MemoryTransaction): void {
    transaction.tables = null;
    if (this.#holder !== transaction) return;
    this.#holder = null;
    for (const wake of this.#waiters.splice(0)) wake();
  }
}

export class MemoryTransaction {
  /** Its own view; null before it has begun and after its end. */
  tables: MemoryTables | null = null;
  readonly labels: string[] = [];
}

/** One node's connection to the server. */
export class MemoryDatabase implements Database {
  readonly kind = 'pglite';
  readonly db = Object.freeze({ memory: true }) as unknown as Db;
  readonly queueConnection = {};
  readonly server: MemoryDatabaseServer;
  readonly #gate: StatementGate;

  constructor(server = new MemoryDatabaseServer(), gate: StatementGate = immediately(server)) {
    this.server = server;
    this.#gate = gate;
  }

  async transaction<T>(work: (trx: Trx) => Promise<T>): Promise<T> {
    const { server } = this;
    const transaction = new MemoryTransaction();
    const abandon = () => server.rollBack(transaction);
    await this.#gate.pass(
      'begin',
      'BEGIN',
      () => server.isFree,
      () => server.begin(transaction),
      abandon,
    );
    let result: T;
    try {
      result = await work(transaction as unknown as Trx);
    } catch (error) {
      abandon();
      throw error;
    }
    await this.#gate.pass(
      'commit',
      'COMMIT',
      () => true,
      () => server.commit(transaction),
      abandon,
    );
    return result;
  }

  read<T>(label: string, query: (tables: MemoryTables) => T): Promise<T> {
    return this.#gate.pass(
      'read',
      label,
      () => true,
      () => query(this.server.tables),
    );
  }

  /** @param handle the transaction to write in; the database itself for a statement of its own */
  write<T>(handle: Trx | Db, label: string, statement: (tables: MemoryTables) => T): Promise<T> {
    const { server } = this;
    if (!isMemoryTransaction(handle)) {
      return this.#gate.pass(
        'write',
        label,
        () => server.isFree,
        () => server.write(label, statement),
      );
    }
    return this.#gate.pass(
      'inside',
      label,
      () => true,
      () => {
        if (handle.tables === null) throw connectionGone(label);
        handle.labels.push(label);
        return statement(handle.tables);
      },
    );
  }

  async ping(): Promise<void> {}
  async close(): Promise<void> {}
}

/** The server has rolled the transaction back: its client was silent for too long. */
function connectionGone(label: string): DatabaseUnavailableError {
  return new DatabaseUnavailableError('unknown', `${label}: the connection was terminated`);
}

function isMemoryTransaction(handle: unknown): handle is MemoryTransaction {
  return handle instanceof MemoryTransaction;
}

/** Every statement at once, or as soon as the transaction that holds the tables has ended. */
function immediately(server: MemoryDatabaseServer): StatementGate {
  return {
    async pass(_kind, _label, canRun, execute) {
      while (!canRun()) await server.released();
      return execute();
    },
  };
}

function emptyTables(): MemoryTables {
  return {
    uploads: new Map(),
    parts: new Map(),
    tails: new Map(),
    files: new Map(),
    discards: new Map(),
    jobs: new Map(),
    serial: 0,
    canary: null,
  };
}

function copyOf(tables: MemoryTables): MemoryTables {
  return {
    uploads: new Map(tables.uploads),
    parts: new Map(tables.parts),
    tails: new Map(tables.tails),
    files: new Map(tables.files),
    discards: new Map(tables.discards),
    jobs: new Map(tables.jobs),
    serial: tables.serial,
    canary: tables.canary,
  };
}
