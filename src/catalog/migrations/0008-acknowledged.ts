import { type Kysely, sql } from 'kysely';

/** When an operator has taken note of an upload that ended without an object: it is not an alarm any more then. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`ALTER TABLE uploads ADD COLUMN acknowledged_at timestamptz`.execute(db);
}
