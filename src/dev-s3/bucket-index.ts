import type { DatabaseSync } from 'node:sqlite';
import type { CorsRule } from './cors.ts';
import { DevS3Error } from './dev-s3-errors.ts';

export interface Bucket {
  name: string;
  createdMs: number;
  /** null: none was put. */
  cors: readonly CorsRule[] | null;
}

/** The buckets, all of them in memory: every request asks for one, and there are few. */
export class BucketIndex {
  readonly #db: DatabaseSync;
  readonly #buckets = new Map<string, Bucket>();

  constructor(db: DatabaseSync) {
    this.#db = db;
    for (const row of db.prepare('SELECT name, created_ms, cors FROM buckets').all()) {
      const cors = row.cors === null ? null : (JSON.parse(String(row.cors)) as CorsRule[]);
      this.#buckets.set(String(row.name), { name: String(row.name), createdMs: Number(row.created_ms), cors });
    }
  }

  find(name: string): Bucket | null {
    return this.#buckets.get(name) ?? null;
  }

  /** @throws DevS3Error NoSuchBucket */
  get(name: string): Bucket {
    const bucket = this.#buckets.get(name);
    if (bucket === undefined) throw new DevS3Error('NoSuchBucket', undefined, { details: { BucketName: name } });
    return bucket;
  }

  /** In the order of their names. */
  list(): Bucket[] {
    return [...this.#buckets.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  create(name: string, createdMs: number): void {
    this.#db.prepare('INSERT INTO buckets (name, created_ms) VALUES (?, ?)').run(name, createdMs);
    this.#buckets.set(name, { name, createdMs, cors: null });
  }

  setCors(name: string, cors: readonly CorsRule[] | null): void {
    const bucket = this.get(name);
    this.#db
      .prepare('UPDATE buckets SET cors = ? WHERE name = ?')
      .run(cors === null ? null : JSON.stringify(cors), name);
    bucket.cors = cors;
  }

  remove(name: string): void {
    this.#db.prepare('DELETE FROM buckets WHERE name = ?').run(name);
    this.#buckets.delete(name);
  }
}
