import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { openPgliteInMemory, vacuum } from '../../src/catalog/pglite.ts';

test('the embedded database does not grow with the commits of one upload', async (t) => {
  const database = await openPgliteInMemory();
  t.after(() => database.close());
  await sql`INSERT INTO uploads (id, owner, object_key, protocol, part_bytes, expires_at)
    VALUES (gen_random_uuid(), 'public', 'key', 'tus', 1, now())`.execute(database.db);
  const commit = async (times: number) => {
    for (let count = 0; count < times; count += 1) {
      await sql`UPDATE uploads SET offset_bytes = offset_bytes + 1, expires_at = now()`.execute(database.db);
    }
  };
  const bytes = async () => {
    const { rows } = await sql<{ bytes: string }>`SELECT pg_table_size('uploads') AS bytes`.execute(database.db);
    return Number(rows[0]?.bytes);
  };
  await commit(500);
  await vacuum(database.pglite);
  const once = await bytes();
  for (let turn = 0; turn < 4; turn += 1) {
    await commit(500);
    await vacuum(database.pglite);
  }
  assert.ok((await bytes()) <= once * 1.5, `${await bytes()} bytes after four times as many commits, ${once} before`);
});
