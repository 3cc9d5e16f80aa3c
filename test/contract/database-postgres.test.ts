import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type RawBuilder, sql } from 'kysely';
import type { Database } from '../../src/catalog/database.ts';
import { DatabaseUnavailableError } from '../../src/catalog/database-errors.ts';
import { openPostgres, type PostgresOptions } from '../../src/catalog/postgres.ts';
import { StartError } from '../../src/errors.ts';
import { createPostgresDatabase } from '../support/test-database.ts';

test('nobody listens at the address: the database is unavailable, and the message has no password', async () => {
  const url = `postgres://user:s3cret@127.0.0.1:${await freePort()}/catalog`;
  await assert.rejects(openPostgres(url), (error) => {
    assert.ok(error instanceof DatabaseUnavailableError);
    assert.equal(error.outcome, 'refused');
    assert.match(error.message, /^Postgres at 127\.0\.0\.1:\d+\/catalog: the database is not available/);
    assert.doesNotMatch(error.message, /s3cret/);
    return true;
  });
});

test('a server that never answers is given up after the time for connecting', async (t) => {
  const silent = createServer((socket) => socket.on('error', () => {}));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.after(() => silent.close());
  const address = silent.address();
  const port = typeof address === 'object' ? address?.port : null;
  await assert.rejects(
    openPostgres(`postgres://u@127.0.0.1:${port}/c`, { connectTimeoutMs: 50 }),
    DatabaseUnavailableError,
  );
});

const adminUrl = process.env.TEST_DATABASE_URL;
const skip = adminUrl ? false : 'TEST_DATABASE_URL is not set';

async function open(t: TestContext, options: PostgresOptions = {}) {
  const url = await createPostgresDatabase(t, adminUrl ?? '');
  const database = await openPostgres(url, options);
  // Its own database is dropped by force, so that the order of closing does not matter.
  t.after(() => database.close());
  return { database, url };
}

test('many nodes that start at once on an empty database all get the same catalog', { skip }, async (t) => {
  const url = await createPostgresDatabase(t, adminUrl ?? '');
  const nodes = await Promise.all(Array.from({ length: 4 }, () => openPostgres(url)));
  t.after(() => Promise.all(nodes.map((node) => node.close())));
  for (const { db } of nodes) {
    await sql`INSERT INTO discards (upload_id, object_key) VALUES (gen_random_uuid(), 'k')`.execute(db);
  }
  const { rows } = await sql<{ n: number }>`SELECT count(*) AS n FROM discards`.execute(nodes[0]?.db ?? assert.fail());
  assert.equal(rows[0]?.n, 4);
});

test('a database that is not there is no reason to wait', { skip }, async () => {
  const url = new URL(adminUrl ?? '');
  url.pathname = '/no_such_database_anywhere';
  await assert.rejects(openPostgres(url.href), (error) => {
    assert.ok(error instanceof StartError);
    assert.match(error.message, /\/no_such_database_anywhere: there is no such database/);
    return true;
  });
});

test('a connection that is cut in a transaction: unavailable, outcome unknown, and the next one works', {
  skip,
}, async (t) => {
  const { database } = await open(t, { maxConnections: 2 });
  for (let cuts = 0; cuts < 3; cuts += 1) {
    await assert.rejects(
      database.transaction(async (trx) => {
        const { rows } = await sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`.execute(trx);
        await sql`SELECT pg_terminate_backend(${rows[0]?.pid})`.execute(database.db);
        await sql`INSERT INTO discards (upload_id, object_key) VALUES (gen_random_uuid(), 'k')`.execute(trx);
      }),
      (error) => error instanceof DatabaseUnavailableError && error.outcome === 'unknown',
    );
  }
  await database.ping();
  const { rows } = await sql`SELECT 1 FROM discards`.execute(database.db);
  assert.deepEqual(rows, []);
});

test('idle connections that are cut are replaced without anybody noticing', { skip }, async (t) => {
  const { database, url } = await open(t);
  const other = await openPostgres(url);
  t.after(() => other.close());
  await Promise.all(Array.from({ length: 5 }, () => database.ping()));
  await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle'`.execute(other.db);
  // The first statement may still meet a connection whose end has not arrived here; it is dropped then.
  for (let tries = 0; tries < 20; tries += 1) {
    const ok = await database.ping().then(
      () => true,
      (error) => {
        assert.ok(error instanceof DatabaseUnavailableError);
        return false;
      },
    );
    if (ok) return;
  }
  assert.fail('no statement came through');
});

test('a statement that runs too long is ended by the server: nothing was done', { skip }, async (t) => {
  const { database } = await open(t, { statementTimeoutMs: 1_500 });
  await assert.rejects(
    sql`SELECT pg_sleep(600)`.execute(database.db),
    (error) => error instanceof DatabaseUnavailableError && error.outcome === 'refused',
  );
  await database.ping();
});

test('a node that goes silent in a transaction gives its locks back', { skip }, async (t) => {
  const { database, url } = await open(t, { statementTimeoutMs: 1_500 });
  await assert.rejects(
    database.transaction(async (trx) => {
      await sql`LOCK TABLE discards`.execute(trx);
      const patient = await openPostgres(url);
      t.after(() => patient.close());
      // Waits for the lock until the server has ended the silent one.
      await sql`INSERT INTO discards (upload_id, object_key) VALUES (gen_random_uuid(), 'k')`.execute(patient.db);
      await sql`SELECT 1`.execute(trx);
    }),
    DatabaseUnavailableError,
  );
});

test('what is no address of a Postgres is said so, without its words', async () => {
  await assert.rejects(openPostgres('postgres://user:s3cret@[bad'), (error) => {
    assert.ok(error instanceof Error);
    assert.doesNotMatch(error.message, /s3cret/);
    return error instanceof StartError;
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** A transaction that writes a row, and then meets with what `trouble` says the first time. */
async function insertWithTrouble(database: Database, trouble: RawBuilder<unknown>): Promise<number> {
  let runs = 0;
  await database.transaction(async (trx) => {
    runs += 1;
    await sql`INSERT INTO discards (upload_id, object_key) VALUES (gen_random_uuid(), 'troubled')`.execute(trx);
    if (runs === 1) await trouble.execute(trx);
  });
  const { rows } = await sql<{ n: number }>`SELECT count(*) AS n FROM discards WHERE object_key = 'troubled'`.execute(
    database.db,
  );
  assert.equal(rows[0]?.n, 1, 'recorded once');
  return runs;
}

for (const [name, trouble] of [
  ['serialization failure', sql`DO $$ BEGIN RAISE EXCEPTION 'race' USING ERRCODE = '40001'; END $$`],
  ['deadlock', sql`DO $$ BEGIN RAISE EXCEPTION 'race' USING ERRCODE = '40P01'; END $$`],
  ['connection lost before the commit', sql`SELECT pg_terminate_backend(pg_backend_pid())`],
] as const) {
  test(`a transaction with a ${name} is run again`, { skip }, async (t) => {
    const { database } = await open(t);
    assert.equal(await insertWithTrouble(database, trouble), 2);
  });
}

test('a transaction is not run again for an error of its own, nor for ever', { skip }, async (t) => {
  const { database } = await open(t);
  let runs = 0;
  const count = (trouble: RawBuilder<unknown>) =>
    database.transaction(async (trx) => {
      runs += 1;
      await trouble.execute(trx);
    });
  await assert.rejects(count(sql`SELECT 1 / 0`), /division by zero/);
  assert.equal(runs, 1);
  const race = sql`DO $$ BEGIN RAISE EXCEPTION 'race' USING ERRCODE = '40001'; END $$`;
  await assert.rejects(count(race), DatabaseUnavailableError);
  assert.equal(runs, 4);
});
