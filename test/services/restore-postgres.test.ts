/** The runbook with Postgres: the commands of docs/operations.md, word for word. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { delimiter, dirname } from 'node:path';
import { promisify } from 'node:util';
import { openPostgres } from '../../src/catalog/postgres.ts';
import { restoreSuite } from '../support/restore-suite.ts';
import { findProgram } from '../support/services/find-program.ts';
import { debianFolders, startPostgres } from '../support/services/start-postgres.ts';
import { makeTempFolder } from '../support/services/temp-folder.ts';

restoreSuite('Postgres', async (t) => {
  // A dump is made by programs of the server's own version.
  const pgDump = findProgram('pg_dump', await debianFolders());
  if (pgDump === null) return null;
  const postgres = await startPostgres();
  t.after(() => postgres.stop());
  const folder = await makeTempFolder('restore');
  t.after(() => folder.remove());
  const databaseUrl = await postgres.createDatabase('relay');
  const run = async (commands: string) => {
    const env = {
      PATH: [...(await debianFolders()), dirname(pgDump), process.env.PATH].join(delimiter),
      ...{ HOME: folder.path, DATABASE_URL: databaseUrl, ADMIN_URL: postgres.url },
    };
    await promisify(execFile)('sh', ['-euc', commands], { env, cwd: folder.path });
  };
  return {
    env: { DATA_DIR: `${folder.path}/data`, DATABASE_URL: databaseUrl, S3_BUCKET: 'embedded' },
    backUp: () => run(documentedCommands('pg_dump')),
    restore: () => run(documentedCommands('pg_restore')),
    withCatalog: async (work) => {
      const database = await openPostgres(databaseUrl);
      try {
        await work(database);
      } finally {
        await database.close();
      }
    },
  };
});

/** @returns the block of commands in which the program is */
function documentedCommands(program: string): string {
  const guide = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  const blocks = [...guide.matchAll(/^ *```sh\n([\s\S]*?)^ *```$/gm)].map((match) => match[1] ?? '');
  const found = blocks.filter((block) => new RegExp(`^ *${program} `, 'm').test(block));
  if (found.length !== 1) throw new Error(`docs/operations.md has ${found.length} blocks with ${program}, not one`);
  return found[0] ?? '';
}
