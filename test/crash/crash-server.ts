/**
 * The server of the crash tests: the real one, put together by the real composition root, whose two stores count what is
 * done to them and end the process at the step that the test names. It does not wait most of an hour before it looks again
 * at what it removed, and answers questions about its catalog, which only it can open when it is embedded.
 */
import { flushCompileCache } from 'node:module';
import { sql } from 'kysely';
import { openCatalog } from '../../src/app/open-catalog.ts';
import { openStorage } from '../../src/app/open-storage.ts';
import { type Parts, startServer } from '../../src/app.ts';
import type { Database } from '../../src/catalog/database.ts';
import { loadConfig } from '../../src/config.ts';
import { createLogger } from '../../src/observability/logger.ts';
import type { CatalogReport, Command } from './support/commands.ts';
import { probeDatabase, probeStorage, StepProbe } from './support/step-probe.ts';

/** Often, so that a test need not wait for the sweeper. */
const SWEEP_EVERY_MS = 250;

const probe = new StepProbe();
const opened = Promise.withResolvers<Database>();

const parts: Parts = {
  async openStorage(...args) {
    const storage = await openStorage(...args);
    return { ...storage, storage: probeStorage(storage.storage, probe) };
  },
  async openCatalog(...args) {
    const database = await openCatalog(...args);
    // Whoever was killed has been silent for long enough to be taken over from: no test waits for that after each kill.
    await sql`UPDATE uploads SET writer_seen_at = 'epoch' WHERE writer IS NOT NULL`.execute(database.db);
    opened.resolve(database);
    return probeDatabase(database, probe);
  },
  timing: { discardRecheckSecs: 0, everyMs: SWEEP_EVERY_MS },
};

const { config, secrets } = loadConfig(process.env);
const server = await startServer(config, secrets, createLogger(config.logLevel), parts);
// Written at the end of a process, as a rule: this one has none.
flushCompileCache();
process.stdout.write(`Page ${server.addresses.page}\n`);

process.on('message', async (command: Command) => {
  const { db } = await opened.promise;
  switch (command.kind) {
    case 'arm':
      probe.arm(command.step, command.moment);
      process.send?.({});
      return;
    case 'expire':
      await sql`UPDATE uploads SET expires_at = now() WHERE state = 'open' AND id <> ALL(${command.butNot}::uuid[])`.execute(
        db,
      );
      process.send?.({});
      return;
    case 'report':
      process.send?.(await report(db));
      return;
  }
});
// The test has gone: so do we, with no more ado than at any other time.
process.on('disconnect', () => process.exit(0));

async function report(db: Database['db']): Promise<CatalogReport> {
  const uploads = await sql<CatalogReport['uploads'][number]>`
    SELECT id AS "uploadId", state, object_key AS "objectKey", offset_bytes::float8 AS "offsetBytes",
      (SELECT count(*)::int FROM upload_parts p WHERE p.upload_id = u.id)
        + (SELECT count(*)::int FROM upload_tails t WHERE t.upload_id = u.id) AS "pieces"
    FROM uploads u`.execute(db);
  const files = await sql<CatalogReport['files'][number]>`
    SELECT id AS "fileId", object_key AS "objectKey", bytes::float8 AS bytes FROM files`.execute(db);
  const discards = await sql<{ count: number }>`SELECT count(*)::int AS count FROM discards`.execute(db);
  const markers = await sql`
    SELECT 1 FROM catalog_identity WHERE generation IS NOT NULL AND pending IS NULL`.execute(db);
  return {
    uploads: uploads.rows,
    files: files.rows,
    discards: discards.rows[0]?.count ?? 0,
    marked: markers.rows.length > 0,
  };
}
