/** The runbook with the embedded database, which is backed up by copying its folder. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lockDataDir } from '../../src/catalog/data-dir-lock.ts';
import { openPglite } from '../../src/catalog/pglite.ts';
import { restoreSuite } from '../support/restore-suite.ts';

restoreSuite('PGlite', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tus-relay-restore-'));
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  const dataDir = join(folder, 'data');
  const [catalog, backup] = [join(dataDir, 'catalog'), join(folder, 'backup')];
  return {
    env: { DATA_DIR: dataDir },
    backUp: async () => cpSync(catalog, backup, { recursive: true }),
    restore: async () => {
      rmSync(catalog, { recursive: true });
      cpSync(backup, catalog, { recursive: true });
    },
    withCatalog: async (work) => {
      const lock = lockDataDir(dataDir);
      const database = await openPglite(lock);
      try {
        await work(database);
      } finally {
        await database.close();
        lock.release();
      }
    },
  };
});
