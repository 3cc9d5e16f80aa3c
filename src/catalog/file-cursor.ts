import { RelayError } from '../errors.ts';

/** newest: the last one first. name: from A to Z, whatever the case. size: the largest first. */
export const FILE_SORTS = ['newest', 'name', 'size'] as const;
export type FileSort = (typeof FILE_SORTS)[number];

/** Where a page of files ended: the last file's place in the order that was asked for. */
export interface FileCursor {
  sort: FileSort;
  /**
   * newest: the time of the file, ISO 8601 in UTC with all six digits of the database's clock. name: the name as it is
   * compared. size: bytes.
   */
  key: string;
  fileId: string;
}

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
const PATTERNS: Readonly<Record<FileSort, RegExp>> = {
  newest: new RegExp(`^(?<key>\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}Z)_(?<fileId>${UUID})$`),
  name: new RegExp(`^name_(?<fileId>${UUID})_(?<key>[^\\0]*)$`, 's'),
  size: new RegExp(`^size_(?<fileId>${UUID})_(?<key>\\d{1,16})$`),
};

/** Opaque to clients: they hand it back as it is, with the same order. */
export function encodeFileCursor({ sort, key, fileId }: FileCursor): string {
  return Buffer.from(sort === 'newest' ? `${key}_${fileId}` : `${sort}_${fileId}_${key}`).toString('base64url');
}

/** @throws RelayError 400 `invalid_cursor`, also for one that was given with another order */
export function decodeFileCursor(cursor: string, sort: FileSort): FileCursor {
  const { key, fileId } = PATTERNS[sort].exec(Buffer.from(cursor, 'base64url').toString('utf8'))?.groups ?? {};
  if (key === undefined || fileId === undefined || (sort === 'newest' && !isCalendarTime(key))) {
    throw new RelayError('invalid_cursor', 400, 'the cursor is not one that we gave for this order');
  }
  return { sort, key, fileId };
}

/** The pattern lets 2026-13-45 pass, at which the database would throw. */
function isCalendarTime(text: string): boolean {
  const time = new Date(text);
  return !Number.isNaN(time.getTime()) && time.toISOString().slice(0, 19) === text.slice(0, 19);
}
