import { type Kysely, sql } from 'kysely';

/**
 * A discard that S3 refuses waits for its next try, and stands in nobody's way meanwhile. Nodes of the version before
 * write and remove rows without these columns; they try them all at each turn, as they did.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    ALTER TABLE discards
      ADD COLUMN tries integer NOT NULL DEFAULT 0,
      ADD COLUMN due_at timestamptz NOT NULL DEFAULT '-infinity'`.execute(db);
  await sql`CREATE INDEX discards_to_remove ON discards (due_at, id) WHERE deleted_at IS NULL`.execute(db);
}
