import { type Kysely, sql } from 'kysely';

/**
 * The canary by which the storage is recognised (relay/storage-canary.ts), and since when a completion has had the
 * trouble that may end it. Nodes from before this know neither, and miss neither.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE TABLE storage_canary (
      "only" boolean PRIMARY KEY DEFAULT true CHECK ("only"),
      object_key text NOT NULL,
      s3_upload_id text NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now()
    )`.execute(db);
  await sql`
    ALTER TABLE uploads
      ADD COLUMN completion_trouble text CHECK (completion_trouble IN ('missing', 'refused')),
      ADD COLUMN completion_trouble_since timestamptz`.execute(db);
}
