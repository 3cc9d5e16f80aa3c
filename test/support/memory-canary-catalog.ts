/** The statements of src/catalog/canary-catalog.ts on tables in memory. */
import type { Canary, CanaryCatalogPort } from '../../src/catalog/canary-catalog.ts';
import type { MemoryDatabase } from './memory-database.ts';

export class MemoryCanaryCatalog implements CanaryCatalogPort {
  readonly #database: MemoryDatabase;

  constructor(database: MemoryDatabase) {
    this.#database = database;
  }

  find(): Promise<Canary | null> {
    const { now } = this.#database.server;
    return this.#database.read('find canary', ({ canary }) => {
      if (canary === null) return null;
      const { objectKey, s3UploadId, createdAtMs, missed } = canary;
      return { objectKey, s3UploadId, ageSecs: (now() - createdAtMs) / 1000, missed };
    });
  }

  async noteSighting(s3UploadId: string, missed: boolean): Promise<void> {
    await this.#database.write(this.#database.db, 'note sighting of canary', (tables) => {
      if (tables.canary?.s3UploadId === s3UploadId) tables.canary = { ...tables.canary, missed };
    });
  }

  replace(before: string | null, objectKey: string, s3UploadId: string): Promise<boolean> {
    const { now } = this.#database.server;
    return this.#database.write(this.#database.db, 'replace canary', (tables) => {
      if ((tables.canary?.s3UploadId ?? null) !== before) return false;
      tables.canary = { objectKey, s3UploadId, createdAtMs: now(), missed: false };
      return true;
    });
  }
}
