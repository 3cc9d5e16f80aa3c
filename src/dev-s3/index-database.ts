/**
 * The index: which objects, uploads and buckets there are, and which files hold their bytes. SQLite, because a commit
 * is what makes a change whole: a PUT, a Complete of 10,000 parts and a batch delete alike either happened or did not,
 * wherever the process was killed. Object keys are BLOBs, so that they compare byte by byte, which is S3's order.
 *
 * Nothing is ever synced: the files survive a kill of the process, not a power cut. That is enough for development.
 */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

const SCHEMA_VERSION = 1;

const SCHEMA = `
  CREATE TABLE buckets (
    name TEXT PRIMARY KEY,
    created_ms INTEGER NOT NULL,
    cors TEXT -- JSON, null: none was put
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE objects (
    bucket TEXT NOT NULL,
    key BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    etag TEXT NOT NULL, -- without quotes
    modified_ms INTEGER NOT NULL,
    headers TEXT NOT NULL, -- JSON
    checksum TEXT, -- JSON
    file TEXT, -- the bytes, when it is one file
    upload_id TEXT, -- the bytes, when they are the parts of a multipart upload; both null: no bytes
    PRIMARY KEY (bucket, key)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE uploads (
    id TEXT PRIMARY KEY, -- grows with time
    bucket TEXT NOT NULL,
    key BLOB NOT NULL,
    initiated_ms INTEGER NOT NULL,
    headers TEXT NOT NULL, -- JSON, for the object
    checksum_algorithm TEXT,
    checksum_type TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX uploads_by_key ON uploads (bucket, key, id);

  CREATE TABLE parts (
    upload_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    checksum TEXT, -- base64, of the upload's algorithm
    modified_ms INTEGER NOT NULL,
    file TEXT, -- null: no bytes
    start INTEGER, -- first byte within the object, once there is one
    PRIMARY KEY (upload_id, number)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE completions ( -- for a Complete that is sent again
    upload_id TEXT PRIMARY KEY,
    bucket TEXT NOT NULL,
    key BLOB NOT NULL,
    etag TEXT NOT NULL,
    completed_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/**
 * Opens the index in its folder, or makes it. The exclusive lock keeps a second server off the same data.
 *
 * @throws Error when another process has it open, or when it is of another version or damaged
 */
export function openIndex(dataDir: string): DatabaseSync {
  const db = new DatabaseSync(join(dataDir, 'index.sqlite'));
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF');
    transaction(db, () => {
      const version = db.prepare('PRAGMA user_version').get()?.user_version;
      if (version === 0) db.exec(SCHEMA);
      else if (version !== SCHEMA_VERSION) {
        throw new Error(`the data is of version ${version}, this dev-s3 reads ${SCHEMA_VERSION}: remove ${dataDir}`);
      }
    });
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** `work` must not await: everything in it is one commit, or nothing when it throws. */
export function transaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    db.exec('COMMIT');
    return result;
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

export function keyToBlob(key: string): Buffer {
  return Buffer.from(key, 'utf8');
}

export function keyFromBlob(blob: unknown): string {
  const bytes = blob as Uint8Array;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/** The least byte string that is greater than every string with this prefix; null when there is none. */
export function afterPrefix(prefix: Uint8Array): Buffer | null {
  const next = Buffer.from(prefix);
  for (let at = next.length - 1; at >= 0; at--) {
    const byte = next[at] ?? 0;
    if (byte < 0xff) {
      next[at] = byte + 1;
      return next.subarray(0, at + 1);
    }
  }
  return null;
}
