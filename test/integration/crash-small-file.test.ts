/** The short form of the crash tests (`npm run test:crash` has them all), on whatever database is at hand. */
import { test } from 'node:test';
import { startCrashWorld } from '../crash/support/crash-world.ts';
import { killAtEveryStep } from '../crash/support/every-step.ts';
import { createPostgresDatabase } from '../support/test-database.ts';
import { patternBytes } from '../support/test-relay.ts';

const KIB = 2 ** 10;

test('a small file arrives whole and once, whichever step the server is killed at', async (t) => {
  const { TEST_DATABASE_URL: adminUrl } = process.env;
  const databaseUrl = adminUrl ? await createPostgresDatabase(t, adminUrl) : null;
  const world = await startCrashWorld(t, { databaseUrl });
  await killAtEveryStep(t, world, { plan: { content: patternBytes(200 * KIB), ends: [] } });
});
