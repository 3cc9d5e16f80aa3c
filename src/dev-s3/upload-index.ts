import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import type { ChecksumAlgorithm } from './checksums.ts';
import { DevS3Error } from './dev-s3-errors.ts';
import { afterPrefix, keyFromBlob, keyToBlob } from './index-database.ts';

/** An upload as a request names it. */
export interface UploadAddress {
  id: string;
  bucket: string;
  key: string;
}

export interface MultipartUpload extends UploadAddress {
  initiatedMs: number;
  /** For the object that it becomes. */
  headers: Readonly<Record<string, string>>;
  checksumAlgorithm: ChecksumAlgorithm | null;
  checksumType: 'COMPOSITE' | 'FULL_OBJECT' | null;
}

export interface StoredPart {
  number: number;
  bytes: number;
  /** Without quotes: the MD5 of the bytes. */
  etag: string;
  /** base64, of the upload's algorithm. */
  checksum: string | null;
  modifiedMs: number;
  /** null: no bytes. */
  file: string | null;
}

/** A piece of an object, as a read needs it. */
export interface PlacedPart {
  number: number;
  file: string | null;
  bytes: number;
  /** First byte within the object. */
  start: number;
}

export interface Completion {
  bucket: string;
  key: string;
  etag: string;
}

/** The rows of multipart uploads, of their parts, and of the objects that they became. */
export class UploadIndex {
  readonly #db: DatabaseSync;
  readonly #find: StatementSync;
  readonly #list: StatementSync;
  readonly #getPart: StatementSync;
  readonly #putPart: StatementSync;
  readonly #listParts: StatementSync;
  readonly #placedParts: StatementSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#find = db.prepare('SELECT * FROM uploads WHERE id = ?');
    this.#list = db.prepare(
      `SELECT * FROM uploads WHERE bucket = ? AND (key, id) > (?, ?) AND key >= ? AND (? IS NULL OR key < ?)
       ORDER BY key, id`,
    );
    this.#getPart = db.prepare('SELECT * FROM parts WHERE upload_id = ? AND number = ?');
    this.#putPart = db.prepare(
      `INSERT OR REPLACE INTO parts (upload_id, number, bytes, etag, checksum, modified_ms, file)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#listParts = db.prepare('SELECT * FROM parts WHERE upload_id = ? AND number > ? ORDER BY number LIMIT ?');
    this.#placedParts = db.prepare(
      `SELECT number, file, bytes, start FROM parts
       WHERE upload_id = ? AND start <= ? AND start + bytes > ? ORDER BY number`,
    );
  }

  find(id: string): MultipartUpload | null {
    const row = this.#find.get(id);
    return row === undefined ? null : uploadFrom(row);
  }

  /** @throws DevS3Error NoSuchUpload, also when the upload is of another object */
  get({ id, bucket, key }: UploadAddress): MultipartUpload {
    const upload = this.find(id);
    if (upload === null || upload.bucket !== bucket || upload.key !== key) {
      throw new DevS3Error('NoSuchUpload', undefined, { details: { UploadId: id } });
    }
    return upload;
  }

  create(upload: MultipartUpload): void {
    this.#db
      .prepare(
        `INSERT INTO uploads (id, bucket, key, initiated_ms, headers, checksum_algorithm, checksum_type)
         VALUES (?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        upload.id,
        upload.bucket,
        keyToBlob(upload.key),
        upload.initiatedMs,
        JSON.stringify(upload.headers),
        upload.checksumAlgorithm,
        upload.checksumType,
      );
  }

  /** Open uploads with the prefix, by key and then by age, after that key and id. */
  *list(bucket: string, prefix: string, after: { key: Uint8Array; uploadId: string }): Generator<MultipartUpload> {
    const start = keyToBlob(prefix);
    const end = afterPrefix(start);
    const rows = this.#list.iterate(bucket, after.key, after.uploadId, start, end, end);
    for (const row of rows) yield uploadFrom(row);
  }

  ofBucket(bucket: string): string[] {
    const rows = this.#db.prepare('SELECT id FROM uploads WHERE bucket = ?').all(bucket);
    return rows.map((row) => String(row.id));
  }

  /** Forgets the upload; its parts stay, for the object or for {@link removeParts}. */
  remove(id: string): void {
    this.#db.prepare('DELETE FROM uploads WHERE id = ?').run(id);
  }

  findPart(uploadId: string, number: number): StoredPart | null {
    const row = this.#getPart.get(uploadId, number);
    return row === undefined ? null : partFrom(row);
  }

  putPart(uploadId: string, part: StoredPart): void {
    const { number, bytes, etag, checksum, modifiedMs, file } = part;
    this.#putPart.run(uploadId, number, bytes, etag, checksum, modifiedMs, file);
  }

  /** In order of their numbers, after that number. @param limit -1: all */
  listParts(uploadId: string, afterNumber: number, limit: number): StoredPart[] {
    return this.#listParts.all(uploadId, afterNumber, limit).map(partFrom);
  }

  /** @returns the files that held the bytes */
  removeParts(uploadId: string): string[] {
    const rows = this.#db.prepare('DELETE FROM parts WHERE upload_id = ? RETURNING file').all(uploadId);
    return rows.flatMap((row) => (row.file === null ? [] : [String(row.file)]));
  }

  removePart(uploadId: string, number: number): void {
    this.#db.prepare('DELETE FROM parts WHERE upload_id = ? AND number = ?').run(uploadId, number);
  }

  /** Gives each part its place in the object, one after the other. */
  placeParts(uploadId: string): void {
    this.#db
      .prepare(
        `UPDATE parts SET start = placed.start FROM (
           SELECT number, SUM(bytes) OVER (ORDER BY number) - bytes AS start FROM parts WHERE upload_id = ?1
         ) AS placed WHERE parts.upload_id = ?1 AND parts.number = placed.number`,
      )
      .run(uploadId);
  }

  /** The pieces of an object that hold these bytes, both inclusive. */
  placedParts(uploadId: string, first: number, last: number): PlacedPart[] {
    return this.#placedParts.all(uploadId, last, first).map(placedFrom);
  }

  /** One piece of an object by its number, and how many there are. */
  placedPart(uploadId: string, number: number): { part: PlacedPart | null; count: number } {
    const rows = this.#db
      .prepare('SELECT number, file, bytes, start FROM parts WHERE upload_id = ? ORDER BY number')
      .all(uploadId);
    const row = rows.find((it) => it.number === number);
    return { part: row === undefined ? null : placedFrom(row), count: rows.length };
  }

  findCompletion(uploadId: string): Completion | null {
    const row = this.#db.prepare('SELECT * FROM completions WHERE upload_id = ?').get(uploadId);
    if (row === undefined) return null;
    return { bucket: String(row.bucket), key: keyFromBlob(row.key), etag: String(row.etag) };
  }

  recordCompletion(uploadId: string, { bucket, key, etag }: Completion, completedMs: number): void {
    this.#db
      .prepare('INSERT INTO completions (upload_id, bucket, key, etag, completed_ms) VALUES (?, ?, ?, ?, ?)')
      .run(uploadId, bucket, keyToBlob(key), etag, completedMs);
  }

  forgetCompletions(beforeMs: number): void {
    this.#db.prepare('DELETE FROM completions WHERE completed_ms < ?').run(beforeMs);
  }

  *files(): Generator<string> {
    for (const row of this.#db.prepare('SELECT file FROM parts WHERE file IS NOT NULL').iterate()) {
      yield String(row.file);
    }
  }
}

type Row = Record<string, SQLOutputValue>;

function uploadFrom(row: Row): MultipartUpload {
  return {
    id: String(row.id),
    bucket: String(row.bucket),
    key: keyFromBlob(row.key),
    initiatedMs: Number(row.initiated_ms),
    headers: JSON.parse(String(row.headers)),
    checksumAlgorithm: row.checksum_algorithm as ChecksumAlgorithm | null,
    checksumType: row.checksum_type as MultipartUpload['checksumType'],
  };
}

function partFrom(row: Row): StoredPart {
  return {
    number: Number(row.number),
    bytes: Number(row.bytes),
    etag: String(row.etag),
    checksum: row.checksum === null ? null : String(row.checksum),
    modifiedMs: Number(row.modified_ms),
    file: row.file === null ? null : String(row.file),
  };
}

function placedFrom(row: Row): PlacedPart {
  return {
    number: Number(row.number),
    file: row.file === null ? null : String(row.file),
    bytes: Number(row.bytes),
    start: Number(row.start),
  };
}
