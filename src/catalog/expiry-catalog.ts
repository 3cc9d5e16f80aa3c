/**
 * How an upload that nobody sends to any more ends. Which of the two ways is for the caller to find out in S3
 * (relay/expire-uploads.ts); both are conditional on the same row, so that of several sweepers one decides (V6).
 */
import { type RawBuilder, sql } from 'kysely';
import type { Database, Trx } from './database.ts';
import { fromNow } from './from-now.ts';
import type { EndedUpload } from './upload-catalog.ts';
import { toUploadRecord, type UploadRecord, type UploadRow, uploadColumns } from './upload-record.ts';

/** An upload as it was looked at: a writer that has come back since may have moved it to another key. */
export type SeenUpload = Pick<UploadRecord, 'uploadId' | 'objectKey'>;

/** What the object under the key of an upload says about it. */
export interface WholeObject {
  bytes: number;
  /** null: nothing that is known. */
  detectedType: string | null;
}

const OVERDUE = sql<boolean>`u.state = 'open' AND u.expires_at <= now()
  AND (u.length_bytes IS NULL OR u.offset_bytes < u.length_bytes)`;

export interface ExpiryCatalogSettings {
  /** Longer than S3 accepts a signed request plus the longest call. */
  discardRecheckSecs: number;
  /** Called for each upload that a commit has ended. */
  onEnded?: (ended: EndedUpload) => void;
}

export class ExpiryCatalog {
  readonly #database: Database;
  readonly #settings: ExpiryCatalogSettings;

  constructor(database: Database, settings: ExpiryCatalogSettings) {
    this.#database = database;
    this.#settings = settings;
  }

  get #recheck(): RawBuilder<Date> {
    return fromNow(this.#settings.discardRecheckSecs);
  }

  /**
   * Open uploads whose time is over, those that have waited longest first.
   *
   * @param exceptIds not these: the caller could not look at them
   */
  async findOverdue(limit: number, exceptIds: readonly string[]): Promise<UploadRecord[]> {
    const others = exceptIds.length === 0 ? sql`true` : sql`u.id NOT IN (${sql.join(exceptIds)})`;
    const { rows } = await sql<UploadRow>`
      SELECT ${uploadColumns} FROM uploads u WHERE ${OVERDUE} AND ${others} ORDER BY u.expires_at LIMIT ${limit}`.execute(
      this.#database.db,
    );
    return rows.map(toUploadRecord);
  }

  /**
   * Ends those that are still overdue, and as they were seen. Everything that they have in S3 becomes a discard of this
   * commit (V5). @returns how many
   */
  async expire(seen: readonly SeenUpload[]): Promise<number> {
    if (seen.length === 0) return 0;
    const pairs = seen.map(({ uploadId, objectKey }) => sql`(${uploadId}::uuid, ${objectKey}::text)`);
    const { rows } = await sql<{ id: string }>`
      WITH old AS (
        SELECT u.id, u.object_key, u.s3_upload_id, u.writer IS NOT NULL OR u.dirty AS late_requests FROM uploads u
        WHERE ${OVERDUE} AND (u.id, u.object_key) IN (${sql.join(pairs)}) ORDER BY u.id FOR UPDATE SKIP LOCKED
      ), ended AS (
        UPDATE uploads u SET state = 'expired', writer = NULL, ended_at = now() FROM old WHERE u.id = old.id
        RETURNING u.id
      ), tail AS (
        DELETE FROM upload_tails t USING old WHERE t.upload_id = old.id RETURNING t.upload_id, t.object_key
      ), parts AS (
        DELETE FROM upload_parts p USING old WHERE p.upload_id = old.id RETURNING p.upload_id, p.copy_key
      ), unneeded (upload_id, object_key, scope, s3_upload_id) AS (
        SELECT upload_id, object_key, 'object', NULL FROM tail
        UNION ALL SELECT upload_id, copy_key, 'object', NULL FROM parts WHERE copy_key IS NOT NULL
        UNION ALL SELECT id, object_key, CASE WHEN late_requests THEN 'key' ELSE 'object' END, s3_upload_id FROM old
      ), discarded AS (
        INSERT INTO discards (upload_id, object_key, scope, s3_upload_id, recheck_at)
        SELECT n.upload_id, n.object_key, n.scope, n.s3_upload_id, CASE WHEN old.late_requests THEN ${this.#recheck} END
        FROM unneeded n JOIN old ON old.id = n.upload_id
      )
      SELECT id FROM ended`.execute(this.#database.db);
    for (const { id } of rows) this.#settings.onEnded?.({ uploadId: id, state: 'expired', hadFile: false });
    return rows.length;
  }

  /**
   * From open to finished, because the whole object is there. Part of the transaction that records the file (V4).
   * Whoever stored it may still be about to: all but the object is swept, now and once more, as after a dirty end.
   *
   * @returns the row as it is now; null when it is not overdue (any more), or not as it was seen
   */
  async adopt(trx: Trx, { uploadId, objectKey }: SeenUpload, object: WholeObject): Promise<UploadRecord | null> {
    const { rows } = await sql<UploadRow>`
      WITH moved AS (
        UPDATE uploads u SET state = 'finished', offset_bytes = ${object.bytes}, length_bytes = ${object.bytes},
          finished_at = now(), writer = NULL, dirty = true,
          detected_type = coalesce(u.detected_type, ${object.detectedType}::text)
        WHERE u.id = ${uploadId} AND u.object_key = ${objectKey} AND ${OVERDUE} RETURNING ${uploadColumns}
      ), tail AS (
        DELETE FROM upload_tails t USING moved WHERE t.upload_id = moved.id RETURNING t.upload_id, t.object_key
      ), parts AS (
        DELETE FROM upload_parts p USING moved WHERE p.upload_id = moved.id RETURNING p.upload_id, p.copy_key
      ), discarded AS (
        INSERT INTO discards (upload_id, object_key, scope, s3_upload_id, recheck_at)
        SELECT upload_id, object_key, 'object', NULL, ${this.#recheck} FROM tail
        UNION ALL SELECT upload_id, copy_key, 'object', NULL, ${this.#recheck} FROM parts WHERE copy_key IS NOT NULL
        UNION ALL SELECT id, object_key, 'leftovers', s3_upload_id, ${this.#recheck} FROM moved
      )
      SELECT * FROM moved`.execute(trx);
    return rows[0] === undefined ? null : toUploadRecord(rows[0]);
  }
}
