/**
 * How a finished object of ours that has no record gets one: after the database was restored from a backup that is older
 * than the object. The bytes are whole and were acknowledged; what is missing is the catalog's word for it.
 */
import { type RawBuilder, sql } from 'kysely';
import type { Database, Trx } from './database.ts';
import { fromNow } from './from-now.ts';
import type { UploadState } from './schema.ts';
import { toUploadRecord, type UploadRecord, type UploadRow, uploadColumns } from './upload-record.ts';

/** A finished object, as its key, its headers and its first bytes say. */
export interface FinishedObject {
  readonly uploadId: string;
  readonly owner: string;
  readonly objectKey: string;
  readonly bytes: number;
  /** As an Upload-Metadata header; null: it has neither a name nor a type. */
  readonly metadata: string | null;
  readonly storedAt: Date;
}

/** What the catalog says of the upload that an object names. */
export interface StampedUpload {
  readonly uploadId: string;
  readonly state: UploadState;
  readonly lengthBytes: number | null;
  readonly offsetBytes: number;
}

/**
 * States that a finished upload can have in an older copy of the catalog, and what has become of them since. Not
 * `terminated`: its owner has deleted it. Not `finished`: it has its object.
 */
const NOT_FINISHED = sql<boolean>`u.state IN ('open', 'completing', 'expired', 'lost', 'failed')`;
/** Whoever is writing now commits by itself, and need not be fenced for it. */
const NOT_BEING_WRITTEN = sql<boolean>`(u.writer IS NULL OR u.writer_seen_at IS NULL
  OR u.writer_seen_at < now() - interval '10 minutes')`;

export class AdoptionCatalog {
  readonly #database: Database;
  readonly #discardRecheckSecs: number;

  /** @param settings.discardRecheckSecs longer than S3 accepts a signed request plus the longest call */
  constructor(database: Database, settings: { discardRecheckSecs: number }) {
    this.#database = database;
    this.#discardRecheckSecs = settings.discardRecheckSecs;
  }

  get #recheck(): RawBuilder<Date> {
    return fromNow(this.#discardRecheckSecs);
  }

  /** Which of the keys belong to uploads that the catalog takes for unfinished. @returns those keys */
  async findUnfinished(objectKeys: readonly string[]): Promise<string[]> {
    if (objectKeys.length === 0) return [];
    const { rows } = await sql<{ object_key: string }>`
      SELECT u.object_key FROM uploads u
      WHERE u.object_key IN (${sql.join(objectKeys)}) AND u.state = 'open' AND ${NOT_BEING_WRITTEN}`.execute(
      this.#database.db,
    );
    return rows.map((row) => row.object_key);
  }

  /** The rows of these uploads, as far as there are any. */
  async findUploads(uploadIds: readonly string[]): Promise<StampedUpload[]> {
    if (uploadIds.length === 0) return [];
    const { rows } = await sql<Pick<UploadRow, 'id' | 'state' | 'length_bytes' | 'offset_bytes'>>`
      SELECT id, state, length_bytes, offset_bytes FROM uploads WHERE id IN (${sql.join(uploadIds)})`.execute(
      this.#database.db,
    );
    return rows.map((row) => ({
      uploadId: row.id,
      state: row.state,
      lengthBytes: row.length_bytes === null ? null : Number(row.length_bytes),
      offsetBytes: Number(row.offset_bytes),
    }));
  }

  /**
   * The upload is finished, and this is its object. Part of the transaction that records the file (V4). What the upload
   * has elsewhere, and what hangs on the object, is discarded in the same commit (V5).
   *
   * @returns the row as it is now; null when the catalog knows better by now
   */
  async adopt(trx: Trx, object: FinishedObject, detectedType: string | null): Promise<UploadRecord | null> {
    const { uploadId, objectKey } = object;
    const { rows: before } = await sql<{ object_key: string; s3_upload_id: string | null }>`
      SELECT u.object_key, u.s3_upload_id FROM uploads u WHERE u.id = ${uploadId} FOR UPDATE`.execute(trx);
    const row =
      before[0] === undefined
        ? await this.#insert(trx, object, detectedType)
        : await this.#finish(trx, object, detectedType);
    if (row === null) return null;
    await sql`
      WITH tail AS (DELETE FROM upload_tails WHERE upload_id = ${uploadId} RETURNING object_key),
        parts AS (DELETE FROM upload_parts WHERE upload_id = ${uploadId} RETURNING copy_key)
      INSERT INTO discards (upload_id, object_key, scope, recheck_at)
      SELECT ${uploadId}::uuid, object_key, 'object', ${this.#recheck} FROM tail
      UNION ALL SELECT ${uploadId}::uuid, copy_key, 'object', ${this.#recheck} FROM parts WHERE copy_key IS NOT NULL
      UNION ALL SELECT ${uploadId}::uuid, ${objectKey}, 'leftovers', ${this.#recheck}`.execute(trx);
    if (before[0] !== undefined && before[0].object_key !== objectKey) {
      await sql`
        INSERT INTO discards (upload_id, object_key, scope, s3_upload_id, recheck_at)
        VALUES (${uploadId}, ${before[0].object_key}, 'key', ${before[0].s3_upload_id}, ${this.#recheck})`.execute(trx);
    }
    return row;
  }

  /** The file is as old as its object, and stands there in the list of files. */
  async dateFile(trx: Trx, { uploadId, storedAt }: FinishedObject): Promise<void> {
    await sql`UPDATE files SET created_at = ${storedAt} WHERE id = ${uploadId}`.execute(trx);
  }

  async #insert(trx: Trx, object: FinishedObject, detectedType: string | null): Promise<UploadRecord | null> {
    const { uploadId, owner, objectKey, bytes, metadata, storedAt } = object;
    const { rows } = await sql<UploadRow>`
      INSERT INTO uploads AS u (id, owner, object_key, protocol, length_bytes, offset_bytes, metadata, part_bytes, state,
        dirty, detected_type, created_at, expires_at, finished_at)
      SELECT ${uploadId}::uuid, ${owner}, ${objectKey}, 'tus', ${bytes}::bigint, ${bytes}::bigint, ${metadata}::text,
        greatest(${bytes}::bigint, 1), 'finished', true, ${detectedType}::text, ${storedAt}::timestamptz, now(),
        ${storedAt}::timestamptz
      WHERE ${isNotDiscarded(objectKey)}
      ON CONFLICT DO NOTHING RETURNING ${uploadColumns}`.execute(trx);
    return rows[0] === undefined ? null : toUploadRecord(rows[0]);
  }

  async #finish(trx: Trx, object: FinishedObject, detectedType: string | null): Promise<UploadRecord | null> {
    const { uploadId, objectKey, bytes, metadata, storedAt } = object;
    const { rows } = await sql<UploadRow>`
      UPDATE uploads u SET state = 'finished', object_key = ${objectKey}, length_bytes = ${bytes}::bigint,
        offset_bytes = ${bytes}::bigint, metadata = coalesce(u.metadata, ${metadata}::text), writer = NULL, dirty = true,
        detected_type = coalesce(u.detected_type, ${detectedType}::text), finished_at = ${storedAt}::timestamptz,
        ended_at = NULL
      WHERE u.id = ${uploadId} AND ${NOT_FINISHED} AND ${NOT_BEING_WRITTEN}
        AND coalesce(u.length_bytes, ${bytes}) = ${bytes} AND u.offset_bytes <= ${bytes}
        AND NOT EXISTS (SELECT FROM uploads o WHERE o.object_key = ${objectKey} AND o.id <> u.id)
        AND ${isNotDiscarded(objectKey)}
      RETURNING ${uploadColumns}`.execute(trx);
    return rows[0] === undefined ? null : toUploadRecord(rows[0]);
  }
}

/** What is about to be deleted, or looked at once more, is not taken over. */
function isNotDiscarded(objectKey: string): RawBuilder<boolean> {
  return sql`NOT EXISTS (SELECT FROM discards d WHERE d.object_key = ${objectKey} AND d.scope IN ('object', 'key'))`;
}
