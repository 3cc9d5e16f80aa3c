import { RelayError } from '../errors.ts';

/** Where a page of files ended: the last file's place in the order (created_at, id). */
export interface FileCursor {
  /** ISO 8601 in UTC with all six digits of the database's clock. */
  createdAt: string;
  fileId: string;
}

const CURSOR = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/** Opaque to clients: they hand it back as it is. */
export function encodeFileCursor({ createdAt, fileId }: FileCursor): string {
  return Buffer.from(`${createdAt}_${fileId}`).toString('base64url');
}

/** @throws RelayError 400 `invalid_cursor` */
export function decodeFileCursor(cursor: string): FileCursor {
  const match = CURSOR.exec(Buffer.from(cursor, 'base64url').toString('latin1'));
  const [, createdAt = '', fileId = ''] = match ?? [];
  if (!isCalendarTime(createdAt)) throw new RelayError('invalid_cursor', 400, 'the cursor is not one that we gave');
  return { createdAt, fileId };
}

/** The pattern lets 2026-13-45 pass, at which the database would throw. */
function isCalendarTime(text: string): boolean {
  const time = new Date(text);
  return !Number.isNaN(time.getTime()) && time.toISOString().slice(0, 19) === text.slice(0, 19);
}
