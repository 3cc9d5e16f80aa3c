/**
 * The catalog's tables as Kysely sees them (design section 2). The catalog is the truth about an upload; S3 holds
 * bytes only. Byte counts are `bigint` columns that arrive as numbers: 5 TiB is far below 2^53.
 */
import type { ColumnType, Generated } from 'kysely';

/**
 * open: takes bytes. completing: every byte is in S3 and committed, the object is still being put together.
 * finished: the object is there. terminated: by the client. expired: by time. lost: the provider removed the multipart
 * upload. failed: S3 refuses the completion for good.
 */
export type UploadState = 'open' | 'completing' | 'finished' | 'terminated' | 'expired' | 'lost' | 'failed';

export type UploadProtocol = 'tus' | 'ietf' | 'presigned' | 'chunked';

type Timestamp = ColumnType<Date, Date | string, Date | string>;
/** The database's clock fills it in. */
type GeneratedTimestamp = ColumnType<Date, Date | string | undefined, Date | string>;
type NullableTimestamp = ColumnType<Date | null, Date | string | null | undefined, Date | string | null>;

export interface UploadsTable {
  /** uuid; the name in the URL. */
  id: string;
  owner: string;
  object_key: string;
  protocol: UploadProtocol;
  /** null while the client has deferred it. */
  length_bytes: number | null;
  /** Bytes that are stored and acknowledged. */
  offset_bytes: Generated<number>;
  /** The Upload-Metadata header, byte for byte; null when there was none. */
  metadata: string | null;
  s3_upload_id: string | null;
  part_bytes: number;
  state: Generated<UploadState>;
  /** Token of the request that may write; null when nobody may. */
  writer: string | null;
  writer_seen_at: NullableTimestamp;
  /** Highest part number that any writer may have sent. */
  sent_up_to: Generated<number>;
  /** Part numbers up to here may have been sent by a fenced writer too. Never goes down. */
  contested_to: Generated<number>;
  /** Some S3 write of this upload had an unknown outcome. */
  dirty: Generated<boolean>;
  /** What the first bytes say the content is; null while unknown or not recognised. */
  detected_type: string | null;
  concat_role: 'partial' | 'final' | null;
  created_at: GeneratedTimestamp;
  expires_at: Timestamp;
  finished_at: NullableTimestamp;
  /** When it was terminated, expired, lost or failed. */
  ended_at: NullableTimestamp;
  /** What keeps a completion from its end, as its job has found it; null: nothing that would end the upload. */
  completion_trouble: CompletionTrouble | null;
  completion_trouble_since: NullableTimestamp;
  /** When an operator has taken note of its end as lost or failed. */
  acknowledged_at: NullableTimestamp;
}

/** missing: S3 has neither the multipart upload nor the object. refused: S3 has them, and says no to putting them together. */
export type CompletionTrouble = 'missing' | 'refused';

export interface UploadPartsTable {
  upload_id: string;
  /** 1, 2, 3 … without gaps; part k covers bytes [(k-1)·P, k·P). */
  part_number: number;
  bytes: number;
  etag: string;
  /** Object that holds the same bytes; only for contested parts. */
  copy_key: string | null;
}

export interface UploadTailsTable {
  upload_id: string;
  /** Order of the segments of one tail. */
  sequence: number;
  object_key: string;
  bytes: number;
}

export interface FilesTable {
  /** The upload's id. */
  id: string;
  owner: string;
  object_key: string;
  bytes: number;
  /** The client's word, null when it gave none. */
  declared_type: string | null;
  /** What the first bytes say. */
  detected_type: string | null;
  file_name: string | null;
  /** Pixels, upright. */
  width: number | null;
  height: number | null;
  /** A sentence for the user when processing failed (a broken image). */
  problem: string | null;
  /** False until the thumbnail job is through (or when there is none to run). */
  thumbnails_pending: Generated<boolean>;
  /** How often its image was begun to be decoded by a process of which nothing more was heard, or that it killed. */
  unfinished_decodings: Generated<number>;
  created_at: GeneratedTimestamp;
}

export interface FileVariantsTable {
  file_id: string;
  /** Longest edge in pixels: 128 or 512. */
  size: number;
  object_key: string;
  bytes: number;
  width: number;
  height: number;
}

/**
 * How much of a key a discard is about.
 *
 * object: the one object (and the one multipart upload, when it is named). key: all that late or lost requests can have
 * left there: the object, every object under `{key}.`, every multipart upload of exactly the key. leftovers: the same
 * without the object, which has become a file. What the catalog still needs of it (a tail's segments) is never touched.
 * multipart: the named multipart upload alone; the object under the key may be a file.
 */
export type DiscardScope = 'object' | 'key' | 'leftovers' | 'multipart';

/**
 * What a committed change made unnecessary in S3: written in that commit, removed afterwards. Where a late request
 * could bring it back it is looked at once more at `recheck_at`, and only then is the row dropped.
 */
export interface DiscardsTable {
  id: Generated<number>;
  /** The upload it belonged to; kept for the log. */
  upload_id: string;
  object_key: string;
  scope: Generated<DiscardScope>;
  /** Set when a multipart upload under the key is to be aborted too. */
  s3_upload_id: string | null;
  /** When it was deleted for the first time; null: still to do. */
  deleted_at: NullableTimestamp;
  /** When to look once more, because a late request could bring it back; null: no such request can be under way. */
  recheck_at: NullableTimestamp;
  /** How often S3 did not let us remove it. */
  tries: Generated<number>;
  /** Before that nobody tries to delete it for the first time again; long ago: it has not failed yet. */
  due_at: GeneratedTimestamp;
}

/**
 * One row, made when it is first asked for: which catalog this is, for the marker in the bucket (catalog-identity.ts).
 */
export interface CatalogIdentityTable {
  only: Generated<boolean>;
  catalog_id: Generated<string>;
  /** What the marker says; null: this catalog has never written one. */
  generation: string | null;
  /** What a rotation that is under way is putting there. */
  pending: string | null;
  rotated_at: NullableTimestamp;
}

/** One row: the multipart upload by which the storage is recognised (relay/storage-canary.ts). */
export interface StorageCanaryTable {
  only: Generated<boolean>;
  object_key: string;
  s3_upload_id: string;
  created_at: GeneratedTimestamp;
  /** null: it was there at the last look. */
  missed_since: NullableTimestamp;
}

export interface Schema {
  uploads: UploadsTable;
  upload_parts: UploadPartsTable;
  upload_tails: UploadTailsTable;
  files: FilesTable;
  file_variants: FileVariantsTable;
  discards: DiscardsTable;
  catalog_identity: CatalogIdentityTable;
  storage_canary: StorageCanaryTable;
}
