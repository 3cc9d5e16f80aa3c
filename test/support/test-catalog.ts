import type { TestContext } from 'node:test';
import { sql } from 'kysely';
import type { Database } from '../../src/catalog/database.ts';
import { DiscardCatalog, type DiscardCatalogPort } from '../../src/catalog/discard-catalog.ts';
import { ExpiryCatalog } from '../../src/catalog/expiry-catalog.ts';
import {
  type EndedUpload,
  UploadCatalog,
  type UploadCatalogPort,
  type UploadCatalogSettings,
} from '../../src/catalog/upload-catalog.ts';
import { MemoryDatabase, MemoryDatabaseServer } from './memory-database.ts';
import { MemoryDiscardCatalog } from './memory-discard-catalog.ts';
import { MemoryExpiryCatalog } from './memory-expiry-catalog.ts';
import { MemoryUploadCatalog } from './memory-upload-catalog.ts';
import { type DatabaseKind, forEachTestDatabase } from './test-database.ts';

export interface TestCatalog {
  readonly database: Database;
  readonly catalog: UploadCatalogPort;
  readonly discards: DiscardCatalogPort;
  readonly expiry: Pick<ExpiryCatalog, keyof ExpiryCatalog>;
  /** What the catalogs have told of ends, in order. */
  readonly ended: readonly EndedUpload[];
  /** As if everything that is stored had been stored so many seconds earlier. */
  letTimePass(secs: number): Promise<void>;
}

type OpenTestCatalog = (t: TestContext) => Promise<TestCatalog>;

/** Registers the same tests for every database that is at hand, and for the stand-in that the simulation runs on. */
export function forEachTestCatalog(
  settings: UploadCatalogSettings,
  register: (kind: DatabaseKind | 'memory', open: OpenTestCatalog) => void,
): void {
  register('memory', async () => openMemoryCatalog(settings));
  forEachTestDatabase((kind, open) => {
    register(kind, async (t) => {
      const database = await open(t);
      const ended: EndedUpload[] = [];
      const telling = { ...settings, onEnded: (upload: EndedUpload) => void ended.push(upload) };
      return {
        ...{ database, ended },
        catalog: new UploadCatalog(database, telling),
        discards: new DiscardCatalog(database),
        expiry: new ExpiryCatalog(database, telling),
        letTimePass: (secs) => ageRows(database, secs),
      };
    });
  });
}

function openMemoryCatalog(settings: UploadCatalogSettings): TestCatalog {
  let passedMs = 0;
  const database = new MemoryDatabase(new MemoryDatabaseServer(() => Date.now() + passedMs));
  const ended: EndedUpload[] = [];
  const telling = { ...settings, onEnded: (upload: EndedUpload) => void ended.push(upload) };
  return {
    ...{ database, ended },
    catalog: new MemoryUploadCatalog(database, telling),
    discards: new MemoryDiscardCatalog(database),
    expiry: new MemoryExpiryCatalog(database, telling),
    async letTimePass(secs) {
      passedMs += secs * 1000;
    },
  };
}

async function ageRows(database: Database, secs: number): Promise<void> {
  const age = sql`make_interval(secs => ${secs})`;
  await sql`UPDATE uploads SET created_at = created_at - ${age}, expires_at = expires_at - ${age},
    writer_seen_at = writer_seen_at - ${age}`.execute(database.db);
  await sql`UPDATE discards SET recheck_at = recheck_at - ${age}, deleted_at = deleted_at - ${age}`.execute(
    database.db,
  );
}
