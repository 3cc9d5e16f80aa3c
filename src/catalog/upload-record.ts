import { type Selectable, type SqlBool, sql } from 'kysely';
import type { UploadProtocol, UploadState, UploadsTable } from './schema.ts';

/** One row of `uploads`, in the program's words. */
export interface UploadRecord {
  readonly uploadId: string;
  readonly owner: string;
  readonly objectKey: string;
  readonly protocol: UploadProtocol;
  /** null while the client has deferred it. */
  readonly lengthBytes: number | null;
  /** Bytes that are stored and acknowledged. */
  readonly offsetBytes: number;
  /** The Upload-Metadata header, byte for byte. */
  readonly metadata: string | null;
  readonly s3UploadId: string | null;
  readonly partBytes: number;
  readonly state: UploadState;
  readonly writer: string | null;
  readonly sentUpTo: number;
  readonly contestedTo: number;
  readonly dirty: boolean;
  readonly detectedType: string | null;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  /** There is none, or it has not been heard of for {@link WRITER_SILENCE_SECS}, by the database's clock. */
  readonly writerSilent: boolean;
  /** Open, but past its time by the database's clock: nobody may write any more, the sweeper will expire it. */
  readonly overdue: boolean;
}

/** A writer is alive while it is heard of: each of its statements counts, and it makes one every 5 s without a common lock. */
export const WRITER_SILENCE_SECS = 10;

export type UploadRow = Selectable<UploadsTable> & { overdue: boolean; writer_silent: boolean };

/** The columns of {@link UploadRow}; `u` is the alias of `uploads`. */
export const uploadColumns = sql<SqlBool>`u.*, (u.state = 'open' AND u.expires_at <= now()) AS overdue,
  (u.writer IS NULL OR u.writer_seen_at <= now() - make_interval(secs => ${sql.lit(WRITER_SILENCE_SECS)})) AS writer_silent`;

export function toUploadRecord(row: UploadRow): UploadRecord {
  return {
    uploadId: row.id,
    owner: row.owner,
    objectKey: row.object_key,
    protocol: row.protocol,
    lengthBytes: row.length_bytes === null ? null : Number(row.length_bytes),
    offsetBytes: Number(row.offset_bytes),
    metadata: row.metadata,
    s3UploadId: row.s3_upload_id,
    partBytes: Number(row.part_bytes),
    state: row.state,
    writer: row.writer,
    sentUpTo: row.sent_up_to,
    contestedTo: row.contested_to,
    dirty: row.dirty,
    detectedType: row.detected_type,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    writerSilent: row.writer_silent,
    overdue: row.overdue,
  };
}
