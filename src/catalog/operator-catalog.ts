/** What an operator asks of the catalog of uploads, and takes note of (`npm run uploads`). */
import { type RawBuilder, sql } from 'kysely';
import type { Database } from './database.ts';
import type { CompletionTrouble, UploadProtocol, UploadState } from './schema.ts';
import { STUCK } from './sweep-catalog.ts';

/** attention: completing for longer than a minute; lost or failed, and nobody has acknowledged it. */
export type UploadFilter = 'attention' | 'all' | UploadState;

export interface UploadSummary {
  uploadId: string;
  owner: string;
  protocol: UploadProtocol;
  state: UploadState;
  offsetBytes: number;
  lengthBytes: number | null;
  objectKey: string;
  /** ISO 8601, as all times here. */
  createdAt: string;
  /** When it last moved; null: nobody has sent anything yet. */
  lastSeenAt: string | null;
  expiresAt: string;
  endedAt: string | null;
  /** Of a completion that does not come to its end. */
  trouble: CompletionTrouble | null;
  troubleSince: string | null;
  acknowledgedAt: string | null;
}

interface SummaryRow {
  id: string;
  owner: string;
  protocol: UploadProtocol;
  state: UploadState;
  offset_bytes: string | number;
  length_bytes: string | number | null;
  object_key: string;
  created_at: Date;
  writer_seen_at: Date | null;
  expires_at: Date;
  ended_at: Date | null;
  completion_trouble: CompletionTrouble | null;
  completion_trouble_since: Date | null;
  acknowledged_at: Date | null;
}

export class OperatorCatalog {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The newest first. */
  async list(filter: UploadFilter, limit: number): Promise<UploadSummary[]> {
    return this.#select(sql`${conditionOf(filter)} ORDER BY created_at DESC, id LIMIT ${limit}`);
  }

  /** @param uploadId a uuid @returns null when there is none */
  async find(uploadId: string): Promise<UploadSummary | null> {
    const [found] = await this.#select(sql`id = ${uploadId}::uuid`);
    return found ?? null;
  }

  /**
   * Takes note of uploads that were lost or have failed.
   *
   * @param uploadIds uuids; null: all that are there
   * @returns how many were news
   */
  async acknowledge(uploadIds: readonly string[] | null): Promise<number> {
    if (uploadIds?.length === 0) return 0;
    const which = uploadIds === null ? sql`true` : sql`id IN (${sql.join(uploadIds)})`;
    const { rows } = await sql`
      UPDATE uploads SET acknowledged_at = now()
      WHERE state IN ('lost', 'failed') AND acknowledged_at IS NULL AND ${which} RETURNING id`.execute(
      this.#database.db,
    );
    return rows.length;
  }

  async #select(rest: RawBuilder<unknown>): Promise<UploadSummary[]> {
    const { rows } = await sql<SummaryRow>`
      SELECT id, owner, protocol, state, offset_bytes, length_bytes, object_key, created_at, writer_seen_at, expires_at,
        ended_at, completion_trouble, completion_trouble_since, acknowledged_at
      FROM uploads WHERE ${rest}`.execute(this.#database.db);
    return rows.map((row) => ({
      uploadId: row.id,
      owner: row.owner,
      protocol: row.protocol,
      state: row.state,
      offsetBytes: Number(row.offset_bytes),
      lengthBytes: row.length_bytes === null ? null : Number(row.length_bytes),
      objectKey: row.object_key,
      createdAt: row.created_at.toISOString(),
      lastSeenAt: row.writer_seen_at?.toISOString() ?? null,
      expiresAt: row.expires_at.toISOString(),
      endedAt: row.ended_at?.toISOString() ?? null,
      trouble: row.completion_trouble,
      troubleSince: row.completion_trouble_since?.toISOString() ?? null,
      acknowledgedAt: row.acknowledged_at?.toISOString() ?? null,
    }));
  }
}

function conditionOf(filter: UploadFilter): RawBuilder<unknown> {
  if (filter === 'all') return sql`true`;
  if (filter !== 'attention') return sql`state = ${filter}`;
  return sql`(
    (${STUCK})
    OR (ended_at IS NOT NULL AND state IN ('lost', 'failed') AND acknowledged_at IS NULL))`;
}
