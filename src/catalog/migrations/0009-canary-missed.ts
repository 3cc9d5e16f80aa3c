import { type Kysely, sql } from 'kysely';

/**
 * Since when the canary has been missing that should be there: a node that starts while S3 is another storage for days
 * must not take it for one that was removed because of its age. Nodes from before this do not set it, and miss nothing.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`ALTER TABLE storage_canary ADD COLUMN missed_since timestamptz`.execute(db);
}
