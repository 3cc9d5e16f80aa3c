import { after } from 'node:test';
import { findProgram } from '../../support/services/find-program.ts';
import { type PostgresServer, startPostgres } from '../../support/services/start-postgres.ts';

let started: Promise<PostgresServer | null> | null = null;
let count = 0;

after(async () => {
  await (await started)?.stop('immediate');
});

/**
 * A new, empty database on a Postgres that the tests of this process share.
 *
 * @returns its URL; null where Postgres is not installed: the server then keeps its catalog in its own folder
 */
export async function freshDatabase(): Promise<string | null> {
  started ??= start();
  count += 1;
  return (await (await started)?.createDatabase(`crash_${count}`)) ?? null;
}

async function start(): Promise<PostgresServer | null> {
  try {
    return await startPostgres();
  } catch (error) {
    if (findProgram('postgres') === null && String(error).includes('is not installed')) return null;
    throw error;
  }
}
