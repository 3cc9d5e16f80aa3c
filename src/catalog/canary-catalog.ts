/** Which multipart upload is the canary of the storage (relay/storage-canary.ts): one row, replaced as a whole. */
import { sql } from 'kysely';
import type { Database } from './database.ts';

export interface Canary {
  readonly objectKey: string;
  readonly s3UploadId: string;
  /** By the database's clock. */
  readonly ageSecs: number;
  /** A node has looked for it in vain, and none has seen it since. */
  readonly missed: boolean;
}

/** What the canary's keeper needs of the catalog: a stand-in of the same shape fits. */
export type CanaryCatalogPort = Pick<CanaryCatalog, keyof CanaryCatalog>;

export class CanaryCatalog {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** @returns null before the first one is made */
  async find(): Promise<Canary | null> {
    const { rows } = await sql<{
      object_key: string;
      s3_upload_id: string;
      age_secs: number | string;
      missed: boolean;
    }>`
      SELECT object_key, s3_upload_id, extract(epoch FROM now() - created_at)::float8 AS age_secs,
        missed_since IS NOT NULL AS missed FROM storage_canary`.execute(this.#database.db);
    const [row] = rows;
    if (row === undefined) return null;
    const { object_key: objectKey, s3_upload_id: s3UploadId, age_secs: ageSecs, missed } = row;
    return { objectKey, s3UploadId, ageSecs: Number(ageSecs), missed };
  }

  /** Whether it was there when a node looked for it: nodes that start later know it, too. */
  async noteSighting(s3UploadId: string, missed: boolean): Promise<void> {
    await sql`
      UPDATE storage_canary SET missed_since = CASE WHEN ${missed}::boolean THEN coalesce(missed_since, now()) END
      WHERE s3_upload_id = ${s3UploadId}`.execute(this.#database.db);
  }

  /**
   * Makes a new multipart upload the canary, in one conditional statement: of nodes that do it at the same time one
   * comes through.
   *
   * @param before the id that the caller has found; null: none
   * @returns false when another node was faster
   */
  async replace(before: string | null, objectKey: string, s3UploadId: string): Promise<boolean> {
    const { rows } = await (before === null
      ? sql`INSERT INTO storage_canary (object_key, s3_upload_id) VALUES (${objectKey}, ${s3UploadId})
          ON CONFLICT DO NOTHING RETURNING s3_upload_id`
      : sql`UPDATE storage_canary SET object_key = ${objectKey}, s3_upload_id = ${s3UploadId},
            created_at = now(), missed_since = NULL
          WHERE s3_upload_id = ${before} RETURNING s3_upload_id`
    ).execute(this.#database.db);
    return rows.length === 1;
  }
}
