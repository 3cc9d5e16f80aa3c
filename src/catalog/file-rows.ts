import { type Kysely, sql } from 'kysely';
import type { FileRecord, FileVariant } from './file-catalog.ts';
import type { Schema } from './schema.ts';

/** A Date has milliseconds, the database microseconds: a cursor made of a Date would skip or repeat files. */
export const EXACT_CREATED_AT = sql<string>`to_char(files.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/** How names are compared: the same on every server, whatever its locale. */
export const NAME_KEY = sql<string>`lower(coalesce(files.file_name, '')) COLLATE "C"`;

/** Files with their thumbnails, smallest first. */
export function selectFiles(db: Kysely<Schema>) {
  return db
    .selectFrom('files')
    .selectAll('files')
    .select([
      EXACT_CREATED_AT.as('exact_created_at'),
      NAME_KEY.as('name_key'),
      sql<FileVariant[]>`(
      SELECT coalesce(json_agg(json_build_object('size', v.size, 'objectKey', v.object_key, 'bytes', v.bytes,
        'width', v.width, 'height', v.height) ORDER BY v.size), '[]')
      FROM file_variants v WHERE v.file_id = files.id)`.as('variants'),
    ]);
}

export type FileRow = Awaited<ReturnType<ReturnType<typeof selectFiles>['executeTakeFirstOrThrow']>>;

export function toFileRecord(row: FileRow): FileRecord {
  return {
    fileId: row.id,
    owner: row.owner,
    objectKey: row.object_key,
    bytes: row.bytes,
    declaredType: row.declared_type,
    detectedType: row.detected_type,
    fileName: row.file_name,
    width: row.width,
    height: row.height,
    problem: row.problem,
    thumbnailsPending: row.thumbnails_pending,
    createdAt: row.created_at,
    variants: row.variants,
  };
}
