/** Nodes that start on a database: ten at once on an empty one, and one on a database of a newer version. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import pg from 'pg';
import { MIGRATIONS } from '../../src/catalog/migrate.ts';
import { exchange } from '../support/http-exchange.ts';
import { prepareServer } from '../support/server-process.ts';
import { createUpload, patch } from '../support/tus-client.ts';
import { on } from './support/node-pair.ts';
import { startSharedServices } from './support/shared-services.ts';

const NODES = 10;

test('nodes and the schema of their database', async (t) => {
  const { env } = await startSharedServices(t);
  const prepare = () => prepareServer(t, { env: { ...env, LOG_LEVEL: 'warn' } });
  const nodes = await Promise.all(Array.from({ length: NODES }, prepare));
  const catalog = new pg.Pool({ connectionString: env.DATABASE_URL ?? '', max: 1 });
  catalog.on('error', () => {});
  t.after(() => catalog.end());

  await t.test(`${NODES} nodes that start at once on an empty database all become ready, and work as one`, async () => {
    await Promise.all(nodes.map((node) => node.start()));
    for (const node of nodes) {
      const { status, body } = await exchange(`${node.url}/readyz`, { method: 'GET' });
      assert.equal(status, 200, body.toString());
      assert.deepEqual(node.loggedErrors(), []);
    }
    const { rows } = await catalog.query('SELECT name FROM schema_migrations ORDER BY name');
    assert.deepEqual(
      rows.map(({ name }) => name),
      Object.keys(MIGRATIONS).toSorted(),
    );
    const content = randomBytes(NODES);
    const url = await createUpload(`${nodes[0]?.url}/files`, content.length);
    for (const [offset, node] of nodes.entries()) {
      assert.equal((await patch(on(node, url), offset, content.subarray(offset, offset + 1))).status, 204);
    }
    assert.ok((await exchange(url, { method: 'GET' })).body.equals(content));
  });

  await t.test('one of an older version does not start, says why, and those that run go on', async () => {
    await catalog.query("INSERT INTO schema_migrations (name, timestamp) VALUES ('9999-later', '2030')");
    const older = await prepare();
    await assert.rejects(older.start());
    assert.deepEqual(await older.exited, { code: 1, signal: null });
    assert.match(older.output, /^tus-relay: the catalog was migrated by a newer tus-relay \(it has 9999-later/m);
    assert.doesNotMatch(older.output, /^\s+at /m, 'a stack trace');
    for (const node of nodes) assert.equal((await exchange(`${node.url}/readyz`, { method: 'GET' })).status, 200);
  });
});
