/**
 * The statements of an upload's life (design sections 2 to 4). Each is conditional on what the caller believes (its
 * token, the state, the offset it starts from) and says whether it applied: that, and no lock, is what keeps two
 * writers apart (V6). Every writer's commit writes absolute values and renews `expires_at` by the database's clock.
 */
import { type RawBuilder, sql } from 'kysely';
import type { Database, Db, Trx } from './database.ts';
import { insertMovedFile, type NewFile } from './file-catalog.ts';
import { fromNow } from './from-now.ts';
import type { CompletionTrouble, UploadProtocol } from './schema.ts';
import { thumbnailKeys } from './thumbnail-keys.ts';
import { toUploadRecord, type UploadRecord, type UploadRow, uploadColumns } from './upload-record.ts';

export interface UploadCatalogSettings {
  /** An open upload that nobody commits to for this long expires. */
  uploadExpiresSecs: number;
  /** Longer than S3 accepts a signed request plus the longest call. */
  discardRecheckSecs: number;
  /** Called when a claim has found another writer's token. */
  onTakeover?: (takeover: Takeover) => void;
  /** Called when a commit has ended an upload otherwise than by finishing it. */
  onEnded?: (ended: EndedUpload) => void;
}

/** A claim found the token of a writer that had not let go: it was killed, paused or cut off, or ended uncleanly. */
export interface Takeover {
  uploadId: string;
  /** Since when that writer had not been heard of; null: it never was. */
  silentSecs: number | null;
}

export interface NewUpload {
  uploadId: string;
  owner: string;
  objectKey: string;
  protocol: UploadProtocol;
  lengthBytes: number | null;
  metadata: string | null;
  partBytes: number;
  /** 'completing' only for a length of 0, which has nothing to wait for. */
  state: 'open' | 'completing';
  /** Set when the creating request goes on to write (creation-with-upload): it saves the claim. */
  writer: string | null;
}

export interface Claim {
  uploadId: string;
  /** What the client says is stored. */
  offsetBytes: number;
  /** Fresh for every claim that is sent, never used again. */
  token: string;
  /** Last segment of the key that the bytes go to when this claim takes over from a writer that may still be sending. */
  freshKeyName: string;
  /** The length, when this request declares a deferred one. */
  declaredLengthBytes: number | null;
  /** An upload of more parts than this does not fit the storage. */
  maxParts: number;
  /** How many part numbers past the committed ones the writer may send at once. */
  partsAhead: number;
  /**
   * Another's token is taken over only when it has been silent for so long, in seconds; null: whenever. For times
   * without a common lock, when two clients that retry would else fence each other for ever.
   */
  onlyAfterSilenceSecs: number | null;
}

/** What every commit of a writer demands. */
export interface Step {
  uploadId: string;
  token: string;
  /** The offset that the commit starts from. */
  fromBytes: number;
  toBytes: number;
}

export interface CommittedPart {
  partNumber: number;
  bytes: number;
  etag: string;
  /** Object that holds the same bytes; null when no other writer can have sent this number. */
  copyKey: string | null;
}

export interface TailSegment {
  sequence: number;
  objectKey: string;
  bytes: number;
}

/** An upload that has ended without becoming a file, or with its file. */
export interface EndedUpload {
  uploadId: string;
  state: 'terminated' | 'expired' | 'lost' | 'failed';
  /** True when there was a file record, which is gone now. */
  hadFile: boolean;
}

/** What the relay needs of the catalog of uploads: a stand-in of the same shape fits. */
export type UploadCatalogPort = Pick<UploadCatalog, keyof UploadCatalog>;

export class UploadCatalog {
  readonly #database: Database;
  readonly #settings: UploadCatalogSettings;

  constructor(database: Database, settings: UploadCatalogSettings) {
    this.#database = database;
    this.#settings = settings;
  }

  get #db(): Db {
    return this.#database.db;
  }

  get #expiry(): RawBuilder<Date> {
    return fromNow(this.#settings.uploadExpiresSecs);
  }

  get #recheck(): RawBuilder<Date> {
    return fromNow(this.#settings.discardRecheckSecs);
  }

  async create(upload: NewUpload, db: Db = this.#db): Promise<UploadRecord> {
    const { rows } = await sql<UploadRow>`
      INSERT INTO uploads AS u (id, owner, object_key, protocol, length_bytes, metadata, part_bytes, state, writer,
        writer_seen_at, expires_at)
      VALUES (${upload.uploadId}, ${upload.owner}, ${upload.objectKey}, ${upload.protocol}, ${upload.lengthBytes},
        ${upload.metadata}, ${upload.partBytes}, ${upload.state}, ${upload.writer}::uuid,
        CASE WHEN ${upload.writer}::uuid IS NULL THEN NULL ELSE now() END, ${this.#expiry})
      RETURNING ${uploadColumns}`.execute(db);
    return toUploadRecord(rows[0] as UploadRow);
  }

  async find(uploadId: string): Promise<UploadRecord | null> {
    const { rows } = await sql<UploadRow>`SELECT ${uploadColumns} FROM uploads u WHERE u.id = ${uploadId}`.execute(
      this.#db,
    );
    return rows[0] === undefined ? null : toUploadRecord(rows[0]);
  }

  /**
   * Makes the caller the one writer, in one conditional statement.
   *
   * Another's token in the row means a takeover: that writer may still be sending. What it may have sent becomes
   * contested; as long as there is no multipart upload, the bytes get a fresh key, which it does not know.
   *
   * A declared length that is the offset is not written here but by the commit that ends the upload: an open row never
   * says that it has all its bytes, since whoever reads that would take it for done (V3).
   *
   * @returns the row, with the length as declared; null when the row does not match: {@link find} tells why
   */
  async claim(claim: Claim): Promise<UploadRecord | null> {
    const declared = sql`${claim.declaredLengthBytes}::bigint`;
    const { rows } = await sql<UploadRow & { took_over: boolean; silent_secs: number | null }>`
      WITH old AS (
        SELECT id, writer, writer_seen_at, object_key, s3_upload_id FROM uploads
        WHERE id = ${claim.uploadId} AND offset_bytes = ${claim.offsetBytes} AND state = 'open' AND expires_at > now()
          AND (${declared} IS NULL
            OR (length_bytes IS NULL AND ${declared} >= offset_bytes AND ${declared} <= part_bytes * ${claim.maxParts})
            OR length_bytes = ${declared})
          AND (writer IS NULL OR ${claim.onlyAfterSilenceSecs}::int IS NULL
            OR writer_seen_at <= now() - make_interval(secs => ${claim.onlyAfterSilenceSecs}::int))
        FOR UPDATE
      ), discarded AS (
        INSERT INTO discards (upload_id, object_key, scope, recheck_at)
        SELECT id, object_key, 'key', ${this.#recheck} FROM old WHERE writer IS NOT NULL AND s3_upload_id IS NULL
      )
      UPDATE uploads u SET
        writer = ${claim.token}::uuid,
        writer_seen_at = now(),
        expires_at = ${this.#expiry},
        length_bytes = coalesce(u.length_bytes, nullif(${declared}, u.offset_bytes)),
        dirty = u.dirty OR old.writer IS NOT NULL,
        contested_to = CASE WHEN old.writer IS NULL THEN u.contested_to ELSE greatest(u.contested_to, u.sent_up_to) END,
        sent_up_to = CASE WHEN u.s3_upload_id IS NULL THEN u.sent_up_to
          ELSE greatest(u.sent_up_to, u.offset_bytes / u.part_bytes + ${claim.partsAhead}) END,
        object_key = CASE WHEN old.writer IS NOT NULL AND old.s3_upload_id IS NULL 
          THEN regexp_replace(u.object_key, '[^/]+$', ${claim.freshKeyName}) ELSE u.object_key END
      FROM old WHERE u.id = old.id
      RETURNING ${uploadColumns}, old.writer IS NOT NULL AS took_over,
        extract(epoch FROM now() - old.writer_seen_at)::float8 AS silent_secs`.execute(this.#db);
    if (rows[0]?.took_over) {
      this.#settings.onTakeover?.({ uploadId: claim.uploadId, silentSecs: rows[0].silent_secs });
    }
    if (rows[0] === undefined) return null;
    const claimed = toUploadRecord(rows[0]);
    return { ...claimed, lengthBytes: claimed.lengthBytes ?? claim.declaredLengthBytes };
  }

  /** In the order of the bytes. Only a claimed upload's tail holds still. */
  async findTail(uploadId: string): Promise<TailSegment[]> {
    const { rows } = await sql<{ sequence: number; object_key: string; bytes: number }>`
      SELECT sequence, object_key, bytes FROM upload_tails WHERE upload_id = ${uploadId} ORDER BY sequence`.execute(
      this.#db,
    );
    return rows.map((row) => ({ sequence: row.sequence, objectKey: row.object_key, bytes: Number(row.bytes) }));
  }

  async findParts(uploadId: string): Promise<CommittedPart[]> {
    const { rows } = await sql<{ part_number: number; bytes: number; etag: string; copy_key: string | null }>`
      SELECT part_number, bytes, etag, copy_key FROM upload_parts WHERE upload_id = ${uploadId} ORDER BY part_number
    `.execute(this.#db);
    return rows.map((row) => ({
      partNumber: row.part_number,
      bytes: Number(row.bytes),
      etag: row.etag,
      copyKey: row.copy_key,
    }));
  }

  /**
   * A writer's look at its row: still its token, still open? Says that it is alive, too, so that a body that trickles
   * for a day does not expire under it.
   */
  async look(uploadId: string, token: string): Promise<boolean> {
    const { rows } = await sql`
      UPDATE uploads SET writer_seen_at = now(), expires_at = ${this.#expiry}
      WHERE id = ${uploadId} AND writer = ${token}::uuid AND state = 'open' RETURNING id`.execute(this.#db);
    return rows.length === 1;
  }

  /** Commits the id of the multipart upload before any part of it is sent, and what may be sent. */
  async commitMultipart(step: {
    uploadId: string;
    token: string;
    s3UploadId: string;
    sentUpTo: number;
  }): Promise<boolean> {
    const { rows } = await sql`
      UPDATE uploads SET s3_upload_id = ${step.s3UploadId}, sent_up_to = greatest(sent_up_to, ${step.sentUpTo}::int),
        writer_seen_at = now(), expires_at = ${this.#expiry}
      WHERE id = ${step.uploadId} AND writer = ${step.token}::uuid AND state = 'open' AND s3_upload_id IS NULL
      RETURNING id`.execute(this.#db);
    return rows.length === 1;
  }

  /** Commits a part that is stored; the tail, which it contains, is discarded with it. */
  async commitPart(
    step: Step & { part: CommittedPart; sentUpTo: number; detectedType: string | null },
  ): Promise<boolean> {
    const { part } = step;
    const { rows } = await sql`
      WITH moved AS (
        UPDATE uploads SET offset_bytes = ${step.toBytes}, sent_up_to = greatest(sent_up_to, ${step.sentUpTo}::int),
          detected_type = coalesce(detected_type, ${step.detectedType}),
          writer_seen_at = now(), expires_at = ${this.#expiry}
        WHERE ${ownedAt(step)} RETURNING id, dirty
      ), stored AS (
        INSERT INTO upload_parts (upload_id, part_number, bytes, etag, copy_key)
        SELECT id, ${part.partNumber}::int, ${part.bytes}::bigint, ${part.etag}, ${part.copyKey} FROM moved
      ), ${this.#discardTail()}
      SELECT id FROM moved`.execute(this.#db);
    return rows.length === 1;
  }

  /**
   * Commits bytes that end inside a part as one more segment of the tail.
   *
   * @param step.segment its sequence is higher than any of the tail
   * @param step.replacesFrom sequence of the first of the segments whose bytes it holds in front of its own: that one and
   *   all after it are discarded. null: none
   * @param step.cleanEnd every S3 write of this writer had a definite answer: it lets go of the row in this commit
   */
  async commitTail(
    step: Step & { segment: TailSegment; replacesFrom: number | null; cleanEnd: boolean },
  ): Promise<boolean> {
    const { segment, replacesFrom } = step;
    const letGo = step.cleanEnd
      ? sql`, writer = NULL, sent_up_to = CASE WHEN s3_upload_id IS NULL THEN sent_up_to
          ELSE (${step.toBytes}::bigint / part_bytes)::int END`
      : sql``;
    const discards = replacesFrom === null ? sql`` : sql`, ${this.#discardTail(replacesFrom)}`;
    const { rows } = await sql`
      WITH moved AS (
        UPDATE uploads SET offset_bytes = ${step.toBytes}, writer_seen_at = now(), expires_at = ${this.#expiry}${letGo}
        WHERE ${ownedAt(step)} RETURNING id, dirty
      ), added AS (
        INSERT INTO upload_tails (upload_id, sequence, object_key, bytes)
        SELECT id, ${segment.sequence}::int, ${segment.objectKey}, ${segment.bytes}::bigint FROM moved
      )${discards}
      SELECT id FROM moved`.execute(this.#db);
    return rows.length === 1;
  }

  /** A clean end without anything left to commit: the writer lets go of the row. */
  async release(step: { uploadId: string; token: string }): Promise<boolean> {
    const { rows } = await sql`
      UPDATE uploads SET writer = NULL, sent_up_to = CASE WHEN s3_upload_id IS NULL THEN sent_up_to
          ELSE (offset_bytes / part_bytes)::int END
      WHERE id = ${step.uploadId} AND writer = ${step.token}::uuid AND state = 'open' RETURNING id`.execute(this.#db);
    return rows.length === 1;
  }

  /**
   * An unclean end: the token stays, since something that this writer sent may still arrive, but it is dated as silent
   * for ever. Whoever takes over need not wait.
   */
  async resign(step: { uploadId: string; token: string }): Promise<boolean> {
    const { rows } = await sql`
      UPDATE uploads SET writer_seen_at = 'epoch'
      WHERE id = ${step.uploadId} AND writer = ${step.token}::uuid AND state = 'open' RETURNING id`.execute(this.#db);
    return rows.length === 1;
  }

  /**
   * The last commit of a multipart upload: every byte is in S3, the object is still to be put together. The caller
   * enqueues the completion in the same transaction. The tail stays until the object is there: in an otherwise empty
   * folder MinIO removes the folder with it, and a Complete that meets this loses its parts (docs/s3.md).
   *
   * @param step.part null when the length was declared after the last byte, which ended a part
   */
  async commitLast(
    trx: Trx,
    step: Step & { part: CommittedPart | null; unclean: boolean; detectedType: string | null },
  ): Promise<boolean> {
    const { part } = step;
    const stored =
      part === null
        ? sql``
        : sql`, stored AS (
            INSERT INTO upload_parts (upload_id, part_number, bytes, etag, copy_key)
            SELECT id, ${part.partNumber}::int, ${part.bytes}::bigint, ${part.etag}, ${part.copyKey} FROM moved
          )`;
    const { rows } = await sql`
      WITH moved AS (
        UPDATE uploads SET offset_bytes = ${step.toBytes}, length_bytes = ${step.toBytes}, state = 'completing', writer = NULL,
          dirty = dirty OR ${step.unclean}, detected_type = coalesce(detected_type, ${step.detectedType}),
          writer_seen_at = now(), expires_at = ${this.#expiry}
        WHERE ${ownedAt(step)} AND coalesce(length_bytes, ${step.toBytes}) = ${step.toBytes} RETURNING id, dirty
      )${stored}
      SELECT id FROM moved`.execute(trx);
    return rows.length === 1;
  }

  /**
   * The last commit of an upload whose content is one stored object: from open to finished.
   *
   * @param handle the transaction that records the file and its jobs; the database itself when there are no jobs, and
   *   the record goes along in this one statement
   * @param step.file that record; null when the caller inserts it in its transaction
   * @returns the row as it is now; null when the commit did not apply
   */
  async finishSingle(
    handle: Trx | Db,
    step: Step & { unclean: boolean; detectedType: string | null; file: NewFile | null },
  ): Promise<UploadRecord | null> {
    const recorded = step.file === null ? sql`` : sql`, ${insertMovedFile(step.file)}`;
    const { rows } = await sql<UploadRow>`
      WITH moved AS (
        UPDATE uploads u SET offset_bytes = ${step.toBytes}, length_bytes = ${step.toBytes}, state = 'finished',
          finished_at = now(), writer = NULL,
          dirty = dirty OR ${step.unclean}, detected_type = coalesce(detected_type, ${step.detectedType})
        WHERE ${ownedAt(step)} AND coalesce(length_bytes, ${step.toBytes}) = ${step.toBytes} AND s3_upload_id IS NULL RETURNING ${uploadColumns}
      ), ${this.#discardTail()}, ${this.#discardLeftovers()}${recorded}
      SELECT * FROM moved`.execute(handle);
    return rows[0] === undefined ? null : toUploadRecord(rows[0]);
  }

  /**
   * After CompleteMultipartUpload. The parts' rows have served; their copies and the tail are discarded.
   *
   * @param unclean some Complete of this upload may still be under way
   * @returns the row as it is now; null when it was not completing (any more)
   */
  async finishCompleting(trx: Trx, uploadId: string, unclean: boolean): Promise<UploadRecord | null> {
    const { rows } = await sql<UploadRow>`
      WITH moved AS (
        UPDATE uploads u SET state = 'finished', finished_at = now(), dirty = dirty OR ${unclean}
        WHERE u.id = ${uploadId} AND u.state = 'completing' RETURNING ${uploadColumns}
      ), served AS (
        DELETE FROM upload_parts p USING moved WHERE p.upload_id = moved.id RETURNING p.upload_id, p.copy_key
      ), copies AS (
        INSERT INTO discards (upload_id, object_key, recheck_at)
        SELECT upload_id, copy_key, ${this.#recheck} FROM served WHERE copy_key IS NOT NULL
      ), ${this.#discardTail()}, ${this.#discardLeftovers()}
      SELECT * FROM moved`.execute(trx);
    return rows[0] === undefined ? null : toUploadRecord(rows[0]);
  }

  /**
   * What has kept a completion from its end. Trouble of another kind begins anew.
   *
   * @returns for how long it has been so, in seconds; null when the upload is not completing any more
   */
  async noteCompletionTrouble(uploadId: string, trouble: CompletionTrouble): Promise<number | null> {
    const { rows } = await sql<{ secs: number | string }>`
      UPDATE uploads SET completion_trouble = ${trouble}, completion_trouble_since =
        CASE WHEN completion_trouble = ${trouble} THEN completion_trouble_since ELSE now() END
      WHERE id = ${uploadId} AND state = 'completing'
      RETURNING extract(epoch FROM now() - completion_trouble_since)::float8 AS secs`.execute(this.#db);
    return rows[0] === undefined ? null : Number(rows[0].secs);
  }

  /**
   * Ends a completing upload without an object. Said by the completion job alone.
   *
   * @param state lost: the provider has neither the multipart upload nor the object. failed: S3 refuses to complete it
   */
  async giveUpCompleting(uploadId: string, state: 'lost' | 'failed'): Promise<boolean> {
    const ended = await this.#endRow(
      state,
      sql`SELECT id, object_key, s3_upload_id, state, true AS late_requests FROM uploads
        WHERE id = ${uploadId} AND state = 'completing' FOR UPDATE`,
    );
    return ended !== null;
  }

  /** The provider has removed the multipart upload under its writer. @returns false when the caller is not that any more */
  async giveUpOpen(step: { uploadId: string; token: string }): Promise<boolean> {
    const ended = await this.#endRow(
      'lost',
      sql`SELECT id, object_key, s3_upload_id, state, true AS late_requests FROM uploads
        WHERE id = ${step.uploadId} AND writer = ${step.token}::uuid AND state = 'open' FOR UPDATE`,
    );
    return ended !== null;
  }

  /** Uploads whose completion has not come to an end within a minute, for the sweeper to enqueue again. */
  async findStuckCompletions(limit: number): Promise<string[]> {
    const { rows } = await sql<{ id: string }>`
      SELECT id FROM uploads WHERE state = 'completing' AND coalesce(writer_seen_at, created_at) < now() - interval '1 minute'
      ORDER BY expires_at LIMIT ${limit}`.execute(this.#db);
    return rows.map((row) => row.id);
  }

  /** Ends an upload in any living state, with its file. @returns null when there is none, or it has ended before */
  async terminate(uploadId: string): Promise<EndedUpload | null> {
    return this.#endRow(
      'terminated',
      sql`SELECT id, object_key, s3_upload_id, state, writer IS NOT NULL OR dirty OR state = 'completing' AS late_requests
        FROM uploads WHERE id = ${uploadId} AND state IN ('open', 'completing', 'finished') FOR UPDATE`,
    );
  }

  /** @param lockRow selects the {@link EndingRow} for update, if it is such as the caller believes */
  async #endRow(state: EndedUpload['state'], lockRow: RawBuilder<unknown>): Promise<EndedUpload | null> {
    const ended = await this.#database.transaction(async (trx) => {
      const { rows } = await (lockRow as RawBuilder<EndingRow>).execute(trx);
      return rows[0] === undefined ? null : this.#end(trx, rows[0], state);
    });
    if (ended !== null) this.#settings.onEnded?.(ended);
    return ended;
  }

  /**
   * The row is locked. Everything that the upload has in S3 becomes a discard of this transaction (V5).
   *
   * A file's thumbnails are discarded whatever the rows say: a job stores them before it records them, and may have died
   * in between. Where there ever was such a job it may still be storing one, so they are looked at once more. Of other
   * files they are two more names in the one request that deletes the object.
   */
  async #end(trx: Trx, row: EndingRow, state: EndedUpload['state']): Promise<EndedUpload> {
    const recheck = row.late_requests ? this.#recheck : sql`NULL`;
    const scope = row.late_requests ? 'key' : 'object';
    await sql`UPDATE uploads SET state = ${state}, writer = NULL, ended_at = now() WHERE id = ${row.id}`.execute(trx);
    const files = await sql`
      WITH tail AS (DELETE FROM upload_tails WHERE upload_id = ${row.id} RETURNING object_key),
        parts AS (DELETE FROM upload_parts WHERE upload_id = ${row.id} RETURNING copy_key),
        variants AS (DELETE FROM file_variants WHERE file_id = ${row.id} RETURNING object_key),
        file AS (
          DELETE FROM files WHERE id = ${row.id}
          RETURNING id, thumbnails_pending OR width IS NOT NULL OR problem IS NOT NULL AS had_job
        ), thumbnails AS (
          SELECT object_key FROM variants
          UNION SELECT unnest(ARRAY[${sql.join(thumbnailKeys(row.object_key))}]::text[]) FROM file
        ), discarded AS (
          INSERT INTO discards (upload_id, object_key, scope, s3_upload_id, recheck_at)
          SELECT ${row.id}::uuid, object_key, 'object', NULL, ${recheck}::timestamptz FROM tail
          UNION ALL SELECT ${row.id}::uuid, copy_key, 'object', NULL, ${recheck}::timestamptz FROM parts
            WHERE copy_key IS NOT NULL
          UNION ALL SELECT ${row.id}::uuid, t.object_key, 'object', NULL,
            CASE WHEN file.had_job THEN ${this.#recheck} ELSE ${recheck}::timestamptz END FROM thumbnails t, file
          UNION ALL SELECT ${row.id}::uuid, ${row.object_key}::text, ${scope}::text,
            ${row.state === 'finished' ? null : row.s3_upload_id}::text, ${recheck}::timestamptz
        )
      SELECT id FROM file`.execute(trx);
    return { uploadId: row.id, state, hadFile: files.rows.length > 0 };
  }

  /** CTE: a dirty upload that ends well has its key swept of all but the object. Needs a CTE `moved` before it. */
  #discardLeftovers(): RawBuilder<unknown> {
    return sql`leftovers AS (
        INSERT INTO discards (upload_id, object_key, scope, recheck_at)
        SELECT id, object_key, 'leftovers', ${this.#recheck} FROM moved WHERE dirty
      )`;
  }

  /**
   * CTE `gone`: the tail's rows leave, its objects become discards. Needs a CTE `moved (id, dirty)` before it.
   *
   * @param from the first sequence; what this statement inserts it does not see
   */
  #discardTail(from = 0): RawBuilder<unknown> {
    return sql`gone AS (
        DELETE FROM upload_tails t USING moved WHERE t.upload_id = moved.id AND t.sequence >= ${from} RETURNING t.upload_id, t.object_key
      ), discarded AS (
        INSERT INTO discards (upload_id, object_key, recheck_at)
        SELECT gone.upload_id, gone.object_key, CASE WHEN moved.dirty THEN ${this.#recheck} END FROM gone, moved
      )`;
  }
}

interface EndingRow {
  id: string;
  object_key: string;
  s3_upload_id: string | null;
  state: string;
  /** Some request of this upload to S3 may still be under way. */
  late_requests: boolean;
}

function ownedAt(step: Step): RawBuilder<boolean> {
  return sql`id = ${step.uploadId} AND writer = ${step.token}::uuid AND state = 'open' AND offset_bytes = ${step.fromBytes}`;
}
