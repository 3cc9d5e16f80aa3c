import type { SweepCatalog } from '../../src/catalog/sweep-catalog.ts';
import type { MemoryDatabase } from './memory-database.ts';

const STUCK_AFTER_MS = 60_000;
const KEEP_ENDED_MS = 7 * 24 * 3_600_000;

/** What a turn of the sweeper asks of src/catalog/sweep-catalog.ts, on tables in memory. */
export class MemorySweepCatalog implements Pick<SweepCatalog, 'findStuckCompletions' | 'purgeEnded'> {
  readonly #database: MemoryDatabase;

  constructor(database: MemoryDatabase) {
    this.#database = database;
  }

  findStuckCompletions(limit: number, afterId: string | null): Promise<string[]> {
    const now = this.#database.server.now();
    return this.#database.read('findStuckCompletions', (tables) =>
      [...tables.uploads.values()]
        .filter((row) => row.state === 'completing' && (row.writerSeenAtMs ?? row.createdAtMs) < now - STUCK_AFTER_MS)
        .map((row) => row.uploadId)
        .filter((uploadId) => afterId === null || uploadId > afterId)
        .sort()
        .slice(0, limit),
    );
  }

  purgeEnded(limit: number): Promise<number> {
    const before = this.#database.server.now() - KEEP_ENDED_MS;
    return this.#database.write(this.#database.db, 'purgeEnded', (tables) => {
      const left = new Set([...tables.discards.values()].map((discard) => discard.uploadId));
      const purgeable = [...tables.uploads.values()]
        .filter((row) => row.endedAtMs !== null && row.endedAtMs < before && !left.has(row.uploadId))
        .slice(0, limit);
      for (const { uploadId } of purgeable) tables.uploads.delete(uploadId);
      return purgeable.length;
    });
  }
}
