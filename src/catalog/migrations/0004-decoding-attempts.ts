import { type Kysely, sql } from 'kysely';

/** How often the decoding of a file's image was begun without coming to an end, so that one that kills is not tried for ever. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`ALTER TABLE files ADD COLUMN unfinished_decodings integer NOT NULL DEFAULT 0`.execute(db);
}
