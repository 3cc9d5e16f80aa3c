import { type Kysely, sql } from 'kysely';

/** Tables of design section 2. Migrations only add: old and new nodes run side by side during a roll-out. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE TABLE uploads (
      id uuid PRIMARY KEY,
      owner text NOT NULL,
      object_key text NOT NULL UNIQUE,
      protocol text NOT NULL,
      length_bytes bigint CHECK (length_bytes >= 0),
      offset_bytes bigint NOT NULL DEFAULT 0 CHECK (offset_bytes >= 0),
      metadata text,
      s3_upload_id text,
      part_bytes bigint NOT NULL CHECK (part_bytes > 0),
      state text NOT NULL DEFAULT 'open'
        CHECK (state IN ('open', 'completing', 'finished', 'terminated', 'expired', 'lost', 'failed')),
      writer uuid,
      writer_seen_at timestamptz,
      sent_up_to integer NOT NULL DEFAULT 0,
      contested_to integer NOT NULL DEFAULT 0,
      dirty boolean NOT NULL DEFAULT false,
      detected_type text,
      concat_role text CHECK (concat_role IN ('partial', 'final')),
      created_at timestamptz NOT NULL DEFAULT now(),
      expires_at timestamptz NOT NULL,
      finished_at timestamptz,
      ended_at timestamptz,
      CHECK (length_bytes IS NULL OR offset_bytes <= length_bytes)
    )`.execute(db);
  await sql`CREATE INDEX uploads_expiring ON uploads (expires_at) WHERE state = 'open'`.execute(db);
  await sql`CREATE INDEX uploads_completing ON uploads (expires_at) WHERE state = 'completing'`.execute(db);
  await sql`CREATE INDEX uploads_ended ON uploads (ended_at) WHERE ended_at IS NOT NULL`.execute(db);

  await sql`
    CREATE TABLE upload_parts (
      upload_id uuid NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
      part_number integer NOT NULL CHECK (part_number > 0),
      bytes bigint NOT NULL CHECK (bytes > 0),
      etag text NOT NULL,
      copy_key text,
      PRIMARY KEY (upload_id, part_number)
    )`.execute(db);
  await sql`CREATE INDEX upload_parts_copy ON upload_parts (copy_key) WHERE copy_key IS NOT NULL`.execute(db);

  await sql`
    CREATE TABLE upload_tails (
      upload_id uuid NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
      sequence integer NOT NULL,
      object_key text NOT NULL,
      bytes bigint NOT NULL CHECK (bytes > 0),
      PRIMARY KEY (upload_id, sequence)
    )`.execute(db);
  await sql`CREATE INDEX upload_tails_object_key ON upload_tails (object_key)`.execute(db);

  await sql`
    CREATE TABLE files (
      id uuid PRIMARY KEY REFERENCES uploads (id),
      owner text NOT NULL,
      object_key text NOT NULL,
      bytes bigint NOT NULL,
      declared_type text,
      detected_type text,
      file_name text,
      width integer,
      height integer,
      problem text,
      thumbnails_pending boolean NOT NULL DEFAULT false,
      created_at timestamptz NOT NULL DEFAULT now()
    )`.execute(db);
  await sql`CREATE INDEX files_newest ON files (created_at DESC, id DESC)`.execute(db);
  await sql`CREATE INDEX files_newest_of_owner ON files (owner, created_at DESC, id DESC)`.execute(db);
  await sql`CREATE UNIQUE INDEX files_object_key ON files (object_key)`.execute(db);

  await sql`
    CREATE TABLE file_variants (
      file_id uuid NOT NULL REFERENCES files (id) ON DELETE CASCADE,
      size integer NOT NULL,
      object_key text NOT NULL,
      bytes bigint NOT NULL,
      width integer NOT NULL,
      height integer NOT NULL,
      PRIMARY KEY (file_id, size)
    )`.execute(db);
  await sql`CREATE INDEX file_variants_object_key ON file_variants (object_key)`.execute(db);

  await sql`
    CREATE TABLE discards (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      upload_id uuid NOT NULL,
      object_key text NOT NULL,
      scope text NOT NULL DEFAULT 'object' CHECK (scope IN ('object', 'key', 'leftovers', 'multipart')),
      s3_upload_id text,
      deleted_at timestamptz,
      recheck_at timestamptz
    )`.execute(db);
  await sql`CREATE INDEX discards_due ON discards (recheck_at) WHERE deleted_at IS NOT NULL`.execute(db);
  await sql`CREATE INDEX discards_undone ON discards (id) WHERE deleted_at IS NULL`.execute(db);
  await sql`CREATE INDEX discards_object_key ON discards (object_key)`.execute(db);
  await sql`CREATE INDEX discards_upload ON discards (upload_id)`.execute(db);

  await sql`
    CREATE TABLE catalog_identity (
      "only" boolean PRIMARY KEY DEFAULT true CHECK ("only"),
      catalog_id uuid NOT NULL DEFAULT gen_random_uuid(),
      generation uuid,
      pending uuid,
      rotated_at timestamptz
    )`.execute(db);
}
