import { sql } from 'kysely';
import type { Database } from './database.ts';
import type { DiscardScope } from './schema.ts';

/** An object or multipart upload that a committed change made unnecessary. */
export interface Discard {
  discardId: number;
  uploadId: string;
  objectKey: string;
  scope: DiscardScope;
  /** Set when a multipart upload under the key is to be aborted too. */
  s3UploadId: string | null;
}

interface DiscardRow {
  id: number;
  upload_id: string;
  object_key: string;
  scope: DiscardScope;
  s3_upload_id: string | null;
}

export type DiscardCatalogPort = Pick<DiscardCatalog, keyof DiscardCatalog>;

/** 15 seconds, 30, a minute … an hour, each up to a half less: what failed together need not come back together. */
const NEXT_TRY = sql<Date>`now() + least(interval '1 hour', interval '15 seconds' * power(2, least(tries, 10)))
  * (0.5 + random() / 2)`;

/** Reads and settles `discards`; the rows are written by the commits that made the objects unnecessary. */
export class DiscardCatalog {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Discards that are still to be deleted and whose time has come: those that have never failed first, oldest first. */
  async findUndone(limit: number): Promise<Discard[]> {
    const { rows } = await sql<DiscardRow>`
      SELECT id, upload_id, object_key, scope, s3_upload_id FROM discards
      WHERE deleted_at IS NULL AND due_at <= now() ORDER BY due_at, id LIMIT ${limit}
    `.execute(this.#database.db);
    return rows.map(toDiscard);
  }

  /** Discards that were deleted, and are to be looked at once more now. */
  async findDueForRecheck(limit: number): Promise<Discard[]> {
    const { rows } = await sql<DiscardRow>`
      SELECT id, upload_id, object_key, scope, s3_upload_id FROM discards
      WHERE deleted_at IS NOT NULL AND recheck_at <= now() ORDER BY recheck_at, id LIMIT ${limit}
    `.execute(this.#database.db);
    return rows.map(toDiscard);
  }

  /**
   * Keys that the catalog still needs of an upload: the segments of its tail, the copies of its parts. Under a key that
   * the upload has left behind they only ever become fewer, so this may be asked after that key was listed.
   */
  async findNeededKeys(uploadId: string): Promise<string[]> {
    const { rows } = await sql<{ object_key: string }>`
      SELECT object_key FROM upload_tails WHERE upload_id = ${uploadId}
      UNION ALL SELECT copy_key FROM upload_parts WHERE upload_id = ${uploadId} AND copy_key IS NOT NULL
    `.execute(this.#database.db);
    return rows.map((row) => row.object_key);
  }

  /** After the first deletion: a row that nothing can bring back is dropped, the others wait for their recheck. */
  async settleDeleted(discardIds: readonly number[]): Promise<void> {
    if (discardIds.length === 0) return;
    const ids = sql.join(discardIds);
    await sql`
      WITH done AS (DELETE FROM discards WHERE id IN (${ids}) AND recheck_at IS NULL)
      UPDATE discards SET deleted_at = now() WHERE id IN (${ids}) AND recheck_at IS NOT NULL AND deleted_at IS NULL
    `.execute(this.#database.db);
  }

  /**
   * S3 did not let us remove them: their next try, or their next recheck, comes later each time, up to an hour. They
   * stay what they are; a recheck that comes late is as good, and one that comes early is not: another node may have
   * removed them meanwhile, and what is still under way can bring them back until then.
   */
  async postpone(discardIds: readonly number[]): Promise<void> {
    if (discardIds.length === 0) return;
    await sql`
      UPDATE discards SET tries = tries + 1,
        due_at = CASE WHEN deleted_at IS NULL THEN ${NEXT_TRY} ELSE due_at END,
        recheck_at = CASE WHEN deleted_at IS NULL THEN recheck_at ELSE greatest(recheck_at, ${NEXT_TRY}) END
      WHERE id IN (${sql.join(discardIds)})`.execute(this.#database.db);
  }

  /** An operator asks, who may have mended what was wrong: all are tried at the next turn, whenever their time was. */
  async makeAllDue(): Promise<void> {
    await sql`UPDATE discards SET due_at = DEFAULT WHERE deleted_at IS NULL AND due_at > now()`.execute(
      this.#database.db,
    );
  }

  /** After the recheck. */
  async drop(discardIds: readonly number[]): Promise<void> {
    if (discardIds.length === 0) return;
    await sql`DELETE FROM discards WHERE id IN (${sql.join(discardIds)})`.execute(this.#database.db);
  }
}

function toDiscard(row: DiscardRow): Discard {
  return {
    discardId: Number(row.id),
    uploadId: row.upload_id,
    objectKey: row.object_key,
    scope: row.scope,
    s3UploadId: row.s3_upload_id,
  };
}
