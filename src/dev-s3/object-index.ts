import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import type { Checksum } from './checksums.ts';
import { afterPrefix, keyFromBlob, keyToBlob } from './index-database.ts';

/** Where an object's bytes are. */
export type Content =
  | { kind: 'empty' }
  | { kind: 'file'; file: string }
  /** The parts of the upload that made the object: nothing was rewritten. */
  | { kind: 'parts'; uploadId: string };

export interface StoredObject {
  key: string;
  bytes: number;
  /** Without quotes. */
  etag: string;
  modifiedMs: number;
  /** What a GET answers with: `content-type`, …, `x-amz-meta-…`; lower case, as the client sent them. */
  headers: Readonly<Record<string, string>>;
  checksum: Checksum | null;
  content: Content;
}

/** What a list shows of an object. */
export type ListedObject = Pick<StoredObject, 'key' | 'bytes' | 'etag' | 'modifiedMs' | 'checksum'>;

/** The rows of objects. */
export class ObjectIndex {
  readonly #get: StatementSync;
  readonly #put: StatementSync;
  readonly #remove: StatementSync;
  readonly #any: StatementSync;
  readonly #from: StatementSync;
  readonly #files: StatementSync;

  constructor(db: DatabaseSync) {
    this.#get = db.prepare('SELECT * FROM objects WHERE bucket = ? AND key = ?');
    this.#put = db.prepare(
      `INSERT OR REPLACE INTO objects (bucket, key, bytes, etag, modified_ms, headers, checksum, file, upload_id)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#remove = db.prepare('DELETE FROM objects WHERE bucket = ? AND key = ?');
    this.#any = db.prepare('SELECT 1 FROM objects WHERE bucket = ? LIMIT 1');
    this.#from = db.prepare(
      `SELECT key, bytes, etag, modified_ms, checksum FROM objects
       WHERE bucket = ? AND key >= ? AND (? IS NULL OR key < ?) ORDER BY key`,
    );
    this.#files = db.prepare('SELECT file FROM objects WHERE file IS NOT NULL');
  }

  find(bucket: string, key: string): StoredObject | null {
    const row = this.#get.get(bucket, keyToBlob(key));
    if (row === undefined) return null;
    return { ...listedFrom(row), headers: JSON.parse(String(row.headers)), content: contentFrom(row) };
  }

  put(bucket: string, object: StoredObject): void {
    const { content } = object;
    this.#put.run(
      bucket,
      keyToBlob(object.key),
      object.bytes,
      object.etag,
      object.modifiedMs,
      JSON.stringify(object.headers),
      object.checksum === null ? null : JSON.stringify(object.checksum),
      content.kind === 'file' ? content.file : null,
      content.kind === 'parts' ? content.uploadId : null,
    );
  }

  remove(bucket: string, key: string): void {
    this.#remove.run(bucket, keyToBlob(key));
  }

  hasAny(bucket: string): boolean {
    return this.#any.get(bucket) !== undefined;
  }

  /** Objects with the prefix whose key is `from` or comes after it, in order. Nothing may be written while it is read. */
  *list(bucket: string, prefix: string, from: Uint8Array): Generator<ListedObject> {
    const end = afterPrefix(keyToBlob(prefix));
    for (const row of this.#from.iterate(bucket, from, end, end)) yield listedFrom(row);
  }

  *files(): Generator<string> {
    for (const row of this.#files.iterate()) yield String(row.file);
  }
}

type Row = Record<string, SQLOutputValue>;

function listedFrom(row: Row): ListedObject {
  return {
    key: keyFromBlob(row.key),
    bytes: Number(row.bytes),
    etag: String(row.etag),
    modifiedMs: Number(row.modified_ms),
    checksum: row.checksum === null ? null : (JSON.parse(String(row.checksum)) as Checksum),
  };
}

function contentFrom(row: Row): Content {
  if (row.upload_id !== null) return { kind: 'parts', uploadId: String(row.upload_id) };
  return row.file === null ? { kind: 'empty' } : { kind: 'file', file: String(row.file) };
}
