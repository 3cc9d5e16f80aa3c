/**
 * Pages of files: in several orders, and of those whose name contains what is searched.
 *
 * The catalog has one index for this, by time; names and sizes have none, which would cost every upload a little for
 * what few ask. So a request looks at a bounded number of files: all that is not "newest first" is done among the newest
 * {@link SEARCHED_FILES}. A search newest first is nevertheless complete: where a request has looked at so many, its
 * cursor says where the next one goes on.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { FileRecord } from './file-catalog.ts';
import { decodeFileCursor, encodeFileCursor, type FileCursor, type FileSort } from './file-cursor.ts';
import { EXACT_CREATED_AT, type FileRow, NAME_KEY, selectFiles, toFileRecord } from './file-rows.ts';
import type { Schema } from './schema.ts';

/** 15 to 40 ms of Postgres on one slow core, measured with 300,000 files. */
export const SEARCHED_FILES = 10_000;

export interface FilePage {
  limit: number;
  /** As an earlier page gave it, for the same order and search; null for the first page. */
  cursor: string | null;
  /** `newest` when it is left out. */
  sort?: FileSort;
  /** Words that a name has to contain, all of them; upper or lower case as far as the database's locale knows them. */
  words?: readonly string[];
  /** Only the files of this owner. */
  owner?: string;
}

export interface ListedFiles {
  files: FileRecord[];
  /** Cursor of the page after this one, which may be empty; null: this is the last. */
  next: string | null;
  /** How many there are on all pages together; told with the first page only. */
  total: FileTotal | null;
}

export interface FileTotal {
  count: number;
  /** There may be more: only so many were looked at. */
  atLeast: boolean;
}

type Condition = RawBuilder<boolean>;
type Place = Pick<FileCursor, 'key' | 'fileId'>;

/**
 * Files that are added or deleted meanwhile neither repeat nor hide others on later pages.
 *
 * @param searchedFiles most files that one request looks at
 * @throws RelayError 400 `invalid_cursor` when the cursor is none of ours, or of another order
 */
export async function listFiles(db: Kysely<Schema>, page: FilePage, searchedFiles: number): Promise<ListedFiles> {
  const { limit, cursor, sort = 'newest', words = [] } = page;
  const after = cursor === null ? null : decodeFileCursor(cursor, sort);
  const wanted: Condition[] = words.map((word) => sql<boolean>`strpos(lower(files.file_name), lower(${word})) > 0`);
  if (page.owner !== undefined) wanted.push(sql<boolean>`files.owner = ${page.owner}`);
  if (sort === 'newest' && words.length === 0) {
    const total = cursor === null ? await countSome(db, wanted, searchedFiles) : null;
    const rows = await selectPage(db, sort, [...wanted, ...isAfter(after)], limit);
    return { ...toPage(rows, sort, limit, null), total };
  }
  // Found first, so that a file that comes in between moves nothing out of the window.
  const edge = await findEdge(db, page.owner, sort === 'newest' ? after : null, searchedFiles);
  const seen = edge === null ? wanted : [...wanted, isNotBeyond(edge)];
  const total = cursor === null ? { count: await count(db, seen), atLeast: edge !== null } : null;
  const rows = await selectPage(db, sort, [...seen, ...isAfter(after)], limit);
  return { ...toPage(rows, sort, limit, sort === 'newest' ? edge : null), total };
}

async function selectPage(
  db: Kysely<Schema>,
  sort: FileSort,
  conditions: Condition[],
  limit: number,
): Promise<FileRow[]> {
  let query = selectFiles(db).where(allOf(conditions));
  if (sort === 'newest') query = query.orderBy('files.created_at', 'desc').orderBy('files.id', 'desc');
  else if (sort === 'size') query = query.orderBy('files.bytes', 'desc').orderBy('files.id', 'desc');
  else query = query.orderBy(NAME_KEY).orderBy('files.id');
  return query.limit(limit + 1).execute();
}

/** @param edge where the next request goes on looking, when this one has found no more; null: there is nothing beyond */
function toPage(rows: readonly FileRow[], sort: FileSort, limit: number, edge: Place | null) {
  const last = rows.length > limit ? rows[limit - 1] : undefined;
  const place = last === undefined ? edge : { key: keyOf(last, sort), fileId: last.id };
  return {
    files: rows.slice(0, limit).map(toFileRecord),
    next: place === null ? null : encodeFileCursor({ sort, ...place }),
  };
}

function keyOf(row: FileRow, sort: FileSort): string {
  switch (sort) {
    case 'newest':
      return row.exact_created_at;
    case 'size':
      return String(row.bytes);
    case 'name':
      return row.name_key;
  }
}

/** The last of the files that one request looks at. @returns null when that is all of them */
async function findEdge(
  db: Kysely<Schema>,
  owner: string | undefined,
  after: FileCursor | null,
  searchedFiles: number,
): Promise<Place | null> {
  const row = await db
    .selectFrom('files')
    .select(['files.id', EXACT_CREATED_AT.as('exact_created_at')])
    .where(allOf([...(owner === undefined ? [] : [sql<boolean>`files.owner = ${owner}`]), ...isAfter(after)]))
    .orderBy('files.created_at', 'desc')
    .orderBy('files.id', 'desc')
    .offset(searchedFiles - 1)
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? null : { key: row.exact_created_at, fileId: row.id };
}

async function count(db: Kysely<Schema>, conditions: Condition[]): Promise<number> {
  const { rows } = await sql<{ files: number }>`
    SELECT count(*)::integer AS files FROM files WHERE ${allOf(conditions)}`.execute(db);
  return rows[0]?.files ?? 0;
}

/** Counts no further than one can look. */
async function countSome(db: Kysely<Schema>, conditions: Condition[], most: number): Promise<FileTotal> {
  const { rows } = await sql<{ files: number }>`
    SELECT count(*)::integer AS files
    FROM (SELECT FROM files WHERE ${allOf(conditions)} LIMIT ${most + 1}) AS counted`.execute(db);
  const found = rows[0]?.files ?? 0;
  return { count: Math.min(found, most), atLeast: found > most };
}

function isAfter(after: FileCursor | null): Condition[] {
  if (after === null) return [];
  const { sort, key, fileId } = after;
  switch (sort) {
    case 'newest':
      return [sql<boolean>`(files.created_at, files.id) < (${key}::timestamptz, ${fileId}::uuid)`];
    case 'size':
      return [sql<boolean>`(files.bytes, files.id) < (${key}::bigint, ${fileId}::uuid)`];
    case 'name':
      return [sql<boolean>`(${NAME_KEY}, files.id) > (${key}, ${fileId}::uuid)`];
  }
}

function isNotBeyond({ key, fileId }: Place): Condition {
  return sql<boolean>`(files.created_at, files.id) >= (${key}::timestamptz, ${fileId}::uuid)`;
}

function allOf(conditions: readonly Condition[]): Condition {
  return conditions.length === 0 ? sql<boolean>`true` : sql<boolean>`${sql.join([...conditions], sql` AND `)}`;
}
