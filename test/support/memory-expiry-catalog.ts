import type { Trx } from '../../src/catalog/database.ts';
import type {
  ExpiryCatalog,
  ExpiryCatalogSettings,
  SeenUpload,
  WholeObject,
} from '../../src/catalog/expiry-catalog.ts';
import type { UploadRecord } from '../../src/catalog/upload-record.ts';
import type { MemoryDatabase, MemoryDiscard, MemoryTables, MemoryUpload } from './memory-database.ts';
import { isWriterSilent } from './memory-upload-catalog.ts';

/** The statements of src/catalog/expiry-catalog.ts on tables in memory. */
export class MemoryExpiryCatalog implements Pick<ExpiryCatalog, keyof ExpiryCatalog> {
  readonly #database: MemoryDatabase;
  readonly #settings: ExpiryCatalogSettings;

  constructor(database: MemoryDatabase, settings: ExpiryCatalogSettings) {
    this.#database = database;
    this.#settings = settings;
  }

  get #now(): number {
    return this.#database.server.now();
  }

  findOverdue(limit: number, exceptIds: readonly string[]): Promise<UploadRecord[]> {
    return this.#database.read('findOverdue', (tables) =>
      [...tables.uploads.values()]
        .filter((row) => this.#isOverdue(row) && !exceptIds.includes(row.uploadId))
        .sort((a, b) => a.expiresAtMs - b.expiresAtMs)
        .slice(0, limit)
        .map((row) => this.#record(row)),
    );
  }

  async expire(seen: readonly SeenUpload[]): Promise<number> {
    const expired = await this.#database.write(this.#database.db, 'expire', (tables) => {
      const overdue = seen.flatMap((it) => this.#find(tables, it) ?? []);
      for (const row of overdue) {
        const late = row.writer !== null || row.dirty;
        tables.uploads.set(row.uploadId, { ...row, state: 'expired', writer: null, endedAtMs: this.#now });
        this.#discardPieces(tables, row, late);
        this.#discard(tables, row, { scope: late ? 'key' : 'object', s3UploadId: row.s3UploadId, recheck: late });
      }
      return overdue;
    });
    for (const { uploadId } of expired) this.#settings.onEnded?.({ uploadId, state: 'expired', hadFile: false });
    return expired.length;
  }

  adopt(trx: Trx, seen: SeenUpload, object: WholeObject): Promise<UploadRecord | null> {
    return this.#database.write(trx, 'adopt', (tables) => {
      const old = this.#find(tables, seen);
      if (old === null) return null;
      const row: MemoryUpload = {
        ...old,
        ...{ state: 'finished', offsetBytes: object.bytes, lengthBytes: object.bytes, writer: null, dirty: true },
        finishedAtMs: this.#now,
        detectedType: old.detectedType ?? object.detectedType,
      };
      tables.uploads.set(row.uploadId, row);
      this.#discardPieces(tables, row, true);
      this.#discard(tables, row, { scope: 'leftovers', s3UploadId: row.s3UploadId, recheck: true });
      return this.#record(row);
    });
  }

  #find(tables: MemoryTables, { uploadId, objectKey }: SeenUpload): MemoryUpload | null {
    const row = tables.uploads.get(uploadId);
    return row !== undefined && row.objectKey === objectKey && this.#isOverdue(row) ? row : null;
  }

  #isOverdue(row: MemoryUpload): boolean {
    const isWhole = row.lengthBytes !== null && row.offsetBytes >= row.lengthBytes;
    return row.state === 'open' && row.expiresAtMs <= this.#now && !isWhole;
  }

  /** Segments of the tail, copies of parts. */
  #discardPieces(tables: MemoryTables, row: MemoryUpload, recheck: boolean): void {
    const tail = (tables.tails.get(row.uploadId) ?? []).map((segment) => segment.objectKey);
    const copies = (tables.parts.get(row.uploadId) ?? []).flatMap(({ copyKey }) => copyKey ?? []);
    for (const objectKey of [...tail, ...copies]) {
      this.#discard(tables, { ...row, objectKey }, { scope: 'object', s3UploadId: null, recheck });
    }
    tables.tails.delete(row.uploadId);
    tables.parts.delete(row.uploadId);
  }

  #discard(
    tables: MemoryTables,
    { uploadId, objectKey }: SeenUpload,
    { recheck, ...what }: Pick<MemoryDiscard, 'scope' | 's3UploadId'> & { recheck: boolean },
  ): void {
    tables.serial += 1;
    tables.discards.set(tables.serial, {
      ...{ discardId: tables.serial, uploadId, objectKey, ...what, deletedAtMs: null, tries: 0, dueAtMs: 0 },
      recheckAtMs: recheck ? this.#now + this.#settings.discardRecheckSecs * 1_000 : null,
    });
  }

  #record({
    createdAtMs,
    expiresAtMs,
    writerSeenAtMs,
    finishedAtMs,
    endedAtMs,
    trouble,
    ...row
  }: MemoryUpload): UploadRecord {
    const [createdAt, expiresAt] = [new Date(createdAtMs), new Date(expiresAtMs)];
    const overdue = row.state === 'open' && expiresAtMs <= this.#now;
    return {
      ...row,
      createdAt,
      expiresAt,
      writerSilent: isWriterSilent(row.writer, writerSeenAtMs, this.#now),
      overdue,
    };
  }
}
