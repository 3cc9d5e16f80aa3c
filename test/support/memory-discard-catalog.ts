import type { Discard, DiscardCatalogPort } from '../../src/catalog/discard-catalog.ts';
import type { MemoryDatabase, MemoryDiscard } from './memory-database.ts';

/** The statements of src/catalog/discard-catalog.ts on tables in memory. */
export class MemoryDiscardCatalog implements DiscardCatalogPort {
  readonly #database: MemoryDatabase;

  constructor(database: MemoryDatabase) {
    this.#database = database;
  }

  findUndone(limit: number): Promise<Discard[]> {
    const now = this.#database.server.now();
    return this.#database.read('findUndone', (tables) =>
      [...tables.discards.values()]
        .filter((row) => row.deletedAtMs === null && row.dueAtMs <= now)
        .sort((a, b) => a.dueAtMs - b.dueAtMs || a.discardId - b.discardId)
        .slice(0, limit)
        .map(toDiscard),
    );
  }

  findDueForRecheck(limit: number): Promise<Discard[]> {
    const now = this.#database.server.now();
    return this.#database.read('findDueForRecheck', (tables) =>
      [...tables.discards.values()]
        .filter((row) => row.deletedAtMs !== null && row.recheckAtMs !== null && row.recheckAtMs <= now)
        .sort((a, b) => (a.recheckAtMs ?? 0) - (b.recheckAtMs ?? 0) || a.discardId - b.discardId)
        .slice(0, limit)
        .map(toDiscard),
    );
  }

  findNeededKeys(uploadId: string): Promise<string[]> {
    return this.#database.read('findNeededKeys', (tables) => [
      ...(tables.tails.get(uploadId) ?? []).map((segment) => segment.objectKey),
      ...(tables.parts.get(uploadId) ?? []).flatMap(({ copyKey }) => (copyKey === null ? [] : [copyKey])),
    ]);
  }

  async settleDeleted(discardIds: readonly number[]): Promise<void> {
    if (discardIds.length === 0) return;
    await this.#database.write(this.#database.db, 'settleDeleted', (tables) => {
      for (const discardId of discardIds) {
        const row = tables.discards.get(discardId);
        if (row === undefined) continue;
        if (row.recheckAtMs === null) tables.discards.delete(discardId);
        else if (row.deletedAtMs === null) {
          tables.discards.set(discardId, { ...row, deletedAtMs: this.#database.server.now() });
        }
      }
    });
  }

  async postpone(discardIds: readonly number[]): Promise<void> {
    if (discardIds.length === 0) return;
    await this.#database.write(this.#database.db, 'postpone', (tables) => {
      for (const discardId of discardIds) {
        const row = tables.discards.get(discardId);
        if (row === undefined) continue;
        const nextTryMs = this.#database.server.now() + Math.min(3_600_000, 15_000 * 2 ** Math.min(row.tries, 10));
        const time =
          row.deletedAtMs === null
            ? { dueAtMs: nextTryMs }
            : { recheckAtMs: Math.max(row.recheckAtMs ?? 0, nextTryMs) };
        tables.discards.set(discardId, { ...row, tries: row.tries + 1, ...time });
      }
    });
  }

  async makeAllDue(): Promise<void> {
    await this.#database.write(this.#database.db, 'makeAllDue', (tables) => {
      for (const [discardId, row] of tables.discards) {
        if (row.deletedAtMs === null) tables.discards.set(discardId, { ...row, dueAtMs: 0 });
      }
    });
  }

  async drop(discardIds: readonly number[]): Promise<void> {
    if (discardIds.length === 0) return;
    await this.#database.write(this.#database.db, 'drop', (tables) => {
      for (const discardId of discardIds) tables.discards.delete(discardId);
    });
  }
}

function toDiscard(row: MemoryDiscard): Discard {
  const { discardId, uploadId, objectKey, scope, s3UploadId } = row;
  return { discardId, uploadId, objectKey, scope, s3UploadId };
}
