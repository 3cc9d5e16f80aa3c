/**
 * Which catalog this is, as the marker in the bucket names it: an id that is made once, and a generation that changes
 * about hourly. A copy of the database (a restored backup, a clone) has the id too, but soon not the generation.
 *
 * A rotation writes `pending`, then the marker, then makes it current. Killed anywhere, the marker says one of the two.
 */
import { sql } from 'kysely';
import type { Database } from './database.ts';

export interface CatalogIdentity {
  readonly catalogId: string;
  /** null: no marker of this catalog has ever been settled. */
  readonly generation: string | null;
  readonly pending: string | null;
  /** The generation is older than the interval asked for, or a rotation was left unfinished. */
  readonly rotationDue: boolean;
}

interface IdentityRow {
  catalog_id: string;
  generation: string | null;
  pending: string | null;
  due: boolean;
}

export class CatalogIdentityStore {
  readonly #database: Database;
  readonly #rotateSecs: number;

  /** @param rotateSecs how old a generation becomes, by the database's clock */
  constructor(database: Database, rotateSecs = 3_600) {
    this.#database = database;
    this.#rotateSecs = rotateSecs;
  }

  /** Makes the identity when it is asked for the first time. */
  async read(): Promise<CatalogIdentity> {
    await sql`INSERT INTO catalog_identity DEFAULT VALUES ON CONFLICT DO NOTHING`.execute(this.#database.db);
    return this.#only(
      sql<IdentityRow>`SELECT catalog_id, generation, pending, ${this.#due} AS due FROM catalog_identity`,
    );
  }

  /**
   * Begins a rotation, or takes up the one that is under way: nodes that rotate at the same time put the same marker.
   *
   * @returns the generation to put into the marker
   */
  async beginRotation(): Promise<string> {
    const identity = await this.#only(sql<IdentityRow>`
      UPDATE catalog_identity SET pending = coalesce(pending, gen_random_uuid())
      RETURNING catalog_id, generation, pending, true AS due`);
    return identity.pending as string;
  }

  /** The marker says `generation`. Does nothing when another node was faster. */
  async settleRotation(generation: string): Promise<void> {
    await sql`
      UPDATE catalog_identity SET generation = pending, pending = NULL, rotated_at = now()
      WHERE pending = ${generation}::uuid`.execute(this.#database.db);
  }

  get #due() {
    return sql`(pending IS NOT NULL OR rotated_at IS NULL
      OR rotated_at <= now() - make_interval(secs => ${this.#rotateSecs}))`;
  }

  async #only(query: ReturnType<typeof sql<IdentityRow>>): Promise<CatalogIdentity> {
    const { rows } = await query.execute(this.#database.db);
    const row = rows[0] as IdentityRow;
    return { catalogId: row.catalog_id, generation: row.generation, pending: row.pending, rotationDue: row.due };
  }
}
