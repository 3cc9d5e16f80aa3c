/**
 * Runs a command beside a Postgres of its own, whose address it finds in TEST_DATABASE_URL:
 *
 *   node scripts/with-postgres.ts node --test test/contract/*.test.ts
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { startPostgres } from '../test/support/services/start-postgres.ts';

const [command, ...args] = process.argv.slice(2);
if (command === undefined) throw new Error('usage: with-postgres.ts COMMAND [ARGUMENT …]');
const postgres = await startPostgres();
try {
  const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, TEST_DATABASE_URL: postgres.url } });
  const [code] = await once(child, 'exit');
  process.exitCode = code ?? 1;
} finally {
  await postgres.stop();
}
