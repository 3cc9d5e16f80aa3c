/** A second death: the one that goes on where a killed writer stopped is killed as well. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { ConnectionLostError } from '../support/http-exchange.ts';
import { patternBytes } from '../support/test-relay.ts';
import { freshDatabase } from './support/crash-database.ts';
import { startCrashWorld } from './support/crash-world.ts';
import { killAtEveryStep } from './support/every-step.ts';
import type { Moment } from './support/step-probe.ts';

const MIB = 2 ** 20;
/** A part of 5 MiB and some of a second: each run starts the server twice, so the story is short. */
const CONTENT = patternBytes(6 * MIB);

/** Steps of such a PATCH: 1 claim, 2 Create, 3 its commit, then the parts and their commits. */
const FIRST_DEATHS: readonly [name: string, step: number, moment: Moment][] = [
  ['when its multipart upload was made but not committed', 2, 'after'],
  ['when a part was stored but not committed', 4, 'after'],
];

for (const [name, step, moment] of FIRST_DEATHS) {
  test(`a writer was killed ${name}: whoever goes on may be killed at every step, too`, async (t: TestContext) => {
    const world = await startCrashWorld(t, { databaseUrl: await freshDatabase() });
    await killAtEveryStep(t, world, {
      plan: { content: CONTENT, ends: [] },
      async prelude(_world, client) {
        await client.create();
        await world.arm(step, moment);
        await assert.rejects(client.append(0), ConnectionLostError);
        await world.revive(null);
      },
    });
  });
}
