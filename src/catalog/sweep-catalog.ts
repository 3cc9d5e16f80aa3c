/**
 * What the sweeper asks of the catalog: which uploads nobody carries on, which rows have served, and which of the
 * objects that were found in the bucket nobody knows.
 */
import { type RawBuilder, sql } from 'kysely';
import type { Database } from './database.ts';

/** An object under the prefix, whose key has the form of ours. */
export interface ListedObject {
  readonly objectKey: string;
  /** The upload's key, of which this is the object itself, a segment of its tail, the copy of a part, or a thumbnail. */
  readonly baseKey: string;
  readonly owner: string;
  readonly kind: 'object' | 'tail' | 'copy' | 'thumbnail';
  /** Token of the writer that stored it; null for objects and thumbnails. */
  readonly token: string | null;
  /** The uuid in the key; stands in the discard for the upload, which may be unknown. */
  readonly keyId: string;
}

export interface ListedMultipart {
  readonly objectKey: string;
  readonly s3UploadId: string;
  readonly keyId: string;
}

/** A file as its record has it. */
export interface RecordedFile {
  readonly fileId: string;
  readonly objectKey: string;
  readonly bytes: number;
  readonly createdAt: Date;
}

/** What a sweep would find to do at this moment. */
export interface DueWork {
  expired: number;
  completionsResumed: number;
  removed: number;
  rechecked: number;
  purged: number;
}

/** How long the row of an upload that ended says so to whoever asks (410); afterwards there is no such upload (404). */
const KEEP_ENDED = sql`interval '7 days'`;

/** A completion that nobody seems to carry on. */
export const STUCK = sql`state = 'completing' AND coalesce(writer_seen_at, created_at) < now() - interval '1 minute'`;
const PURGEABLE = sql`u.ended_at < now() - ${KEEP_ENDED} AND NOT EXISTS (SELECT FROM discards d WHERE d.upload_id = u.id)`;

export class SweepCatalog {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async countDue(): Promise<DueWork> {
    const { rows } = await sql<Record<keyof DueWork, string | number>>`
      SELECT
        (SELECT count(*) FROM uploads WHERE state = 'open' AND expires_at <= now()
          AND (length_bytes IS NULL OR offset_bytes < length_bytes)) AS "expired",
        (SELECT count(*) FROM uploads WHERE ${STUCK}) AS "completionsResumed",
        (SELECT count(*) FROM discards WHERE deleted_at IS NULL) AS "removed",
        (SELECT count(*) FROM discards WHERE deleted_at IS NOT NULL AND recheck_at <= now()) AS "rechecked",
        (SELECT count(*) FROM uploads u WHERE ${PURGEABLE}) AS "purged"`.execute(this.#database.db);
    const row = rows[0] as Record<keyof DueWork, string | number>;
    return {
      expired: Number(row.expired),
      completionsResumed: Number(row.completionsResumed),
      removed: Number(row.removed),
      rechecked: Number(row.rechecked),
      purged: Number(row.purged),
    };
  }

  /**
   * Uploads whose completion has not come to an end within a minute, in the order of their ids.
   *
   * @param afterId only those behind it; null: from the beginning
   */
  async findStuckCompletions(limit: number, afterId: string | null): Promise<string[]> {
    const behind = afterId === null ? sql`true` : sql`id > ${afterId}::uuid`;
    const { rows } = await sql<{ id: string }>`
      SELECT id FROM uploads WHERE ${STUCK} AND ${behind} ORDER BY id LIMIT ${limit}`.execute(this.#database.db);
    return rows.map((row) => row.id);
  }

  /** Removes rows of uploads that ended a week ago and have left nothing in S3. @returns how many */
  async purgeEnded(limit: number): Promise<number> {
    const { rows } = await sql`
      DELETE FROM uploads WHERE id IN (
        SELECT u.id FROM uploads u WHERE ${PURGEABLE} ORDER BY u.ended_at LIMIT ${limit} FOR UPDATE SKIP LOCKED
      ) RETURNING id`.execute(this.#database.db);
    return rows.length;
  }

  /** Records of files in the order of their ids. @param afterId only those behind it; null: from the beginning */
  async findFiles(limit: number, afterId: string | null): Promise<RecordedFile[]> {
    const behind = afterId === null ? sql`true` : sql`id > ${afterId}::uuid`;
    return this.#readFiles(sql`${behind} ORDER BY id LIMIT ${limit}`);
  }

  /** Those of them that are still there. */
  async findFilesOf(fileIds: readonly string[]): Promise<RecordedFile[]> {
    return fileIds.length === 0 ? [] : this.#readFiles(sql`id IN (${sql.join(fileIds)})`);
  }

  async #readFiles(which: RawBuilder<unknown>): Promise<RecordedFile[]> {
    const { rows } = await sql<{ id: string; object_key: string; bytes: number; created_at: Date }>`
      SELECT id, object_key, bytes, created_at FROM files WHERE ${which}`.execute(this.#database.db);
    return rows.map((row) => ({
      fileId: row.id,
      objectKey: row.object_key,
      bytes: Number(row.bytes),
      createdAt: row.created_at,
    }));
  }

  /**
   * Which of the listed objects nobody needs or is going to remove. Asked after they were listed: a key is in the
   * catalog before anything is stored under it and none is ever used again, so what is not needed now never will be.
   */
  async findUnknownObjects(listed: readonly ListedObject[]): Promise<string[]> {
    if (listed.length === 0) return [];
    const { rows } = await sql<{
      object_key: string;
    }>`${unknownObjects(listed)} SELECT object_key FROM unknown`.execute(this.#database.db);
    return rows.map((row) => row.object_key);
  }

  /** Makes discards of them, asking once more in the same statement. @returns the keys that are discards now */
  async discardUnknownObjects(listed: readonly ListedObject[]): Promise<string[]> {
    if (listed.length === 0) return [];
    const { rows } = await sql<{ object_key: string }>`
      ${unknownObjects(listed)}
      INSERT INTO discards (upload_id, object_key) SELECT key_id, object_key FROM unknown RETURNING object_key`.execute(
      this.#database.db,
    );
    return rows.map((row) => row.object_key);
  }

  /**
   * Which of the listed multipart uploads nobody carries on. An open upload that has a writer may be about to commit
   * any of them; its end, or the next writer's, takes care of the others.
   *
   * @returns S3's ids of them
   */
  async findUnknownMultiparts(listed: readonly ListedMultipart[]): Promise<string[]> {
    if (listed.length === 0) return [];
    const { rows } = await sql<{ s3_upload_id: string }>`
      ${unknownMultiparts(listed)} SELECT s3_upload_id FROM unknown`.execute(this.#database.db);
    return rows.map((row) => row.s3_upload_id);
  }

  /** @returns the ids of those that are discards now */
  async discardUnknownMultiparts(listed: readonly ListedMultipart[]): Promise<string[]> {
    if (listed.length === 0) return [];
    const { rows } = await sql<{ s3_upload_id: string }>`
      ${unknownMultiparts(listed)}
      INSERT INTO discards (upload_id, object_key, s3_upload_id, scope)
      SELECT key_id, object_key, s3_upload_id, 'multipart' FROM unknown RETURNING s3_upload_id`.execute(
      this.#database.db,
    );
    return rows.map((row) => row.s3_upload_id);
  }
}

/** `WITH … unknown (key_id, object_key)`. */
function unknownObjects(listed: readonly ListedObject[]): RawBuilder<unknown> {
  const rows = listed.map((it) => ({
    object_key: it.objectKey,
    base_key: it.baseKey,
    kind: it.kind,
    token: it.token,
    key_id: it.keyId,
  }));
  return sql`WITH listed AS (
      SELECT * FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
        AS k (object_key text, base_key text, kind text, token uuid, key_id uuid)
    ), unknown AS (
      SELECT l.key_id, l.object_key FROM listed l
      WHERE NOT EXISTS (SELECT FROM discards d WHERE d.object_key = l.object_key AND d.scope IN ('object', 'key'))
        AND NOT EXISTS (SELECT FROM discards d WHERE d.object_key = l.base_key AND d.scope IN ('key', 'leftovers')
          AND l.kind IN ('tail', 'copy'))
        AND NOT EXISTS (SELECT FROM uploads u WHERE u.object_key = l.base_key AND (
          (l.kind = 'object' AND u.state IN ('open', 'completing', 'finished'))
          OR (l.kind IN ('tail', 'copy') AND u.state = 'open' AND u.writer = l.token)))
        AND NOT EXISTS (SELECT FROM files f WHERE f.object_key = l.base_key AND (
          l.kind = 'object' OR (l.kind = 'thumbnail' AND f.thumbnails_pending)))
        AND NOT EXISTS (SELECT FROM file_variants v WHERE v.object_key = l.object_key)
        AND NOT EXISTS (SELECT FROM upload_tails t WHERE t.object_key = l.object_key)
        AND NOT EXISTS (SELECT FROM upload_parts p WHERE p.copy_key = l.object_key)
    )`;
}

/** `WITH … unknown (key_id, object_key, s3_upload_id)`. */
function unknownMultiparts(listed: readonly ListedMultipart[]): RawBuilder<unknown> {
  const rows = listed.map((it) => ({ object_key: it.objectKey, s3_upload_id: it.s3UploadId, key_id: it.keyId }));
  return sql`WITH listed AS (
      SELECT * FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
        AS k (object_key text, s3_upload_id text, key_id uuid)
    ), unknown AS (
      SELECT l.* FROM listed l
      WHERE NOT EXISTS (SELECT FROM uploads u WHERE u.object_key = l.object_key AND u.state IN ('open', 'completing')
          AND (u.s3_upload_id = l.s3_upload_id OR u.writer IS NOT NULL))
        AND NOT EXISTS (SELECT FROM discards d WHERE d.object_key = l.object_key
          AND (d.s3_upload_id = l.s3_upload_id OR d.scope IN ('key', 'leftovers')))
    )`;
}
