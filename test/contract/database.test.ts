import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import type { Database, Db, Trx } from '../../src/catalog/database.ts';
import { DatabaseUnavailableError } from '../../src/catalog/database-errors.ts';
import { MIGRATIONS, migrate } from '../../src/catalog/migrate.ts';
import { StartError } from '../../src/errors.ts';
import { forEachTestDatabase, openFreshPglite } from '../support/test-database.ts';

forEachTestDatabase((kind, openShared) => {
  /** For tests that leave the database closed or changed. */
  const openOwn = kind === 'pglite' ? openFreshPglite : openShared;

  const keysIn = async (handle: Db | Trx) => {
    const { rows } = await sql<{ object_key: string }>`SELECT object_key FROM discards ORDER BY id`.execute(handle);
    return rows.map((row) => row.object_key);
  };
  const addKey = (handle: Db | Trx, key: string) =>
    sql`INSERT INTO discards (upload_id, object_key) VALUES (gen_random_uuid(), ${key})`.execute(handle);

  test(`${kind}: what a transaction did is there when it resolves, with its result`, async (t) => {
    const database = await openShared(t);
    const result = await database.transaction(async (trx) => {
      await addKey(trx, 'a');
      await addKey(trx, 'b');
      return 42;
    });
    assert.equal(result, 42);
    assert.deepEqual(await keysIn(database.db), ['a', 'b']);
  });

  test(`${kind}: a transaction whose work throws is undone, and throws the same`, async (t) => {
    const database = await openShared(t);
    const reason = new Error('changed my mind');
    await assert.rejects(
      database.transaction(async (trx) => {
        await addKey(trx, 'a');
        throw reason;
      }),
      (error) => error === reason,
    );
    assert.deepEqual(await keysIn(database.db), []);
  });

  test(`${kind}: a refused statement undoes its transaction and leaves the database usable`, async (t) => {
    const database = await openShared(t);
    await assert.rejects(
      database.transaction(async (trx) => {
        await addKey(trx, 'a');
        await sql`SELECT 1 / 0`.execute(trx);
      }),
      { code: '22012' },
    );
    await addKey(database.db, 'b');
    assert.deepEqual(await keysIn(database.db), ['b']);
  });

  test(`${kind}: a commit that the database refuses is an error, and nothing of it stays`, async (t) => {
    const database = await openShared(t);
    await assert.rejects(
      database.transaction(async (trx) => {
        await addKey(trx, 'a');
        await sql`CREATE TEMP TABLE parents (id int PRIMARY KEY) ON COMMIT DROP`.execute(trx);
        await sql`CREATE TEMP TABLE children (parent int REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)
          ON COMMIT DROP`.execute(trx);
        await sql`INSERT INTO children VALUES (1)`.execute(trx);
      }),
      { code: '23503' },
    );
    assert.deepEqual(await keysIn(database.db), []);
    await database.transaction((trx) => addKey(trx, 'b'));
    assert.deepEqual(await keysIn(database.db), ['b']);
  });

  test(`${kind}: transactions at one time do not mix, and statements beside them see only what is committed`, async (t) => {
    const database = await openShared(t);
    const inside = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const first = database.transaction(async (trx) => {
      await addKey(trx, 'first');
      inside.resolve();
      await goOn.promise;
      throw new Error('undone');
    });
    await inside.promise;
    // PGlite lets both wait until the first has ended; Postgres runs them beside it. The outcome is the same.
    const second = database.transaction((trx) => addKey(trx, 'second'));
    const seen = keysIn(database.db);
    goOn.resolve();
    await assert.rejects(first, /undone/);
    await second;
    assert.equal((await seen).includes('first'), false);
    assert.deepEqual(await keysIn(database.db), ['second']);
  });

  test(`${kind}: fifty transactions at one time all commit`, async (t) => {
    const database = await openShared(t);
    const count = 50;
    await Promise.all(Array.from({ length: count }, (_, n) => database.transaction((trx) => addKey(trx, String(n)))));
    assert.equal((await keysIn(database.db)).length, count);
  });

  test(`${kind}: what the database refuses keeps the driver’s code`, async (t) => {
    const database = await openShared(t);
    await assert.rejects(sql`SELECT * FROM no_such_table`.execute(database.db), { code: '42P01' });
  });

  test(`${kind}: a deadline of the server, or no room in it, is "try again later", and certainly nothing was done`, async (t) => {
    const database = await openShared(t);
    for (const code of ['57014', '53300', '40P01']) {
      const raise = sql.raw(`DO $$ BEGIN RAISE EXCEPTION 'made up' USING ERRCODE = '${code}'; END $$`);
      await assert.rejects(raise.execute(database.db), (error) => {
        assert.ok(error instanceof DatabaseUnavailableError, code);
        assert.deepEqual([error.outcome, error.code, error.status], ['refused', 'database_unavailable', 503]);
        return true;
      });
    }
  });

  test(`${kind}: byte counts of five TiB are numbers`, async (t) => {
    const database = await openShared(t);
    const { rows } = await sql<{ n: unknown }>`SELECT ${5 * 2 ** 40}::bigint AS n`.execute(database.db);
    assert.equal(rows[0]?.n, 5 * 2 ** 40);
  });

  test(`${kind}: ping answers while the database is there, and fails when it is closed`, async (t) => {
    const database = await openOwn(t);
    await database.ping();
    await database.ping(AbortSignal.timeout(60_000));
    await database.close();
    await database.close();
    await assert.rejects(database.ping(), DatabaseUnavailableError);
    await assert.rejects(addKey(database.db, 'a'), DatabaseUnavailableError);
    await assert.rejects(
      database.transaction((trx) => addKey(trx, 'a')),
      DatabaseUnavailableError,
    );
  });

  test(`${kind}: closing waits for a transaction that is running, which commits`, async (t) => {
    const database = await openOwn(t);
    const inside = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const running = database.transaction(async (trx) => {
      await addKey(trx, 'a');
      inside.resolve();
      await goOn.promise;
      return keysIn(trx);
    });
    await inside.promise;
    let closed = false;
    const closing = database.close().then(() => {
      closed = true;
    });
    const late = assert.rejects(
      database.transaction((trx) => addKey(trx, 'late')),
      DatabaseUnavailableError,
    );
    assert.equal(closed, false);
    goOn.resolve();
    assert.deepEqual(await running, ['a']);
    await Promise.all([closing, late]);
  });

  test(`${kind}: migrating again, and several at one time, changes nothing`, async (t) => {
    const database = await openOwn(t);
    await addKey(database.db, 'a');
    await Promise.all([migrate(database.db), migrate(database.db), migrate(database.db)]);
    assert.deepEqual(await keysIn(database.db), ['a']);
    assert.deepEqual(await appliedMigrations(database), Object.keys(MIGRATIONS));
  });

  test(`${kind}: a new migration runs once, whoever comes first`, async (t) => {
    const database = await openOwn(t);
    const newer = {
      ...MIGRATIONS,
      '9999-more': { up: (db: Db) => sql`CREATE TABLE more (n int)`.execute(db).then(() => {}) },
    };
    await Promise.all([migrate(database.db, newer), migrate(database.db, newer), migrate(database.db, newer)]);
    assert.equal((await appliedMigrations(database)).at(-1), '9999-more');
    await sql`INSERT INTO more VALUES (1)`.execute(database.db);
  });

  test(`${kind}: a program that is older than the catalog refuses to touch it, in one sentence`, async (t) => {
    const database = await openOwn(t);
    await sql`INSERT INTO schema_migrations (name, timestamp) VALUES ('9999-later', '2030')`.execute(database.db);
    await assert.rejects(migrate(database.db), (error) => {
      assert.ok(error instanceof StartError);
      assert.match(error.message, /newer tus-relay \(it has 9999-later/);
      return true;
    });
  });

  test(`${kind}: a migration that fails leaves nothing of itself, and says which it is`, async (t) => {
    const database = await openOwn(t);
    const broken = {
      ...MIGRATIONS,
      '9999-broken': {
        async up(db: Db) {
          await sql`CREATE TABLE half (n int)`.execute(db);
          await sql`CREATE TABLE half (n int)`.execute(db);
        },
      },
    };
    await assert.rejects(migrate(database.db, broken), (error) => {
      assert.ok(error instanceof StartError);
      assert.match(error.message, /^migration 9999-broken of the catalog failed/);
      return true;
    });
    const { rows } = await sql`SELECT to_regclass('half') AS half`.execute(database.db);
    assert.deepEqual(rows, [{ half: null }]);
    await migrate(database.db);
  });
});

async function appliedMigrations(database: Database): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`SELECT name FROM schema_migrations ORDER BY name`.execute(database.db);
  return rows.map((row) => row.name);
}
