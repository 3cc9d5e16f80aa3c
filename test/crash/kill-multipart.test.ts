/** Uploads of several parts. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { patternBytes } from '../support/test-relay.ts';
import { freshDatabase } from './support/crash-database.ts';
import { startCrashWorld } from './support/crash-world.ts';
import { killAtEveryStep, type Story } from './support/every-step.ts';

const MIB = 2 ** 20;
/** Two parts of 5 MiB and some of a third. */
const CONTENT = patternBytes(11.5 * MIB);

interface Service {
  /** What a Complete of a completed upload answers: services differ. */
  secondComplete: 'same-etag' | 'no-such-upload';
}

function stories(name: string, { secondComplete }: Service, story: Story): void {
  test(`${name}: whole and once, whichever step the server is killed at`, async (t: TestContext) => {
    const world = await startCrashWorld(t, { databaseUrl: await freshDatabase(), secondComplete });
    await killAtEveryStep(t, world, story);
  });
}

stories('three parts in one PATCH', { secondComplete: 'no-such-upload' }, { plan: { content: CONTENT, ends: [] } });

stories(
  'three parts in PATCHes that end inside them',
  { secondComplete: 'same-etag' },
  { plan: { content: CONTENT, ends: [2 * MIB, 4 * MIB, 8 * MIB] } },
);

stories(
  'three parts, the first bytes with the creation and the length after the last byte',
  { secondComplete: 'no-such-upload' },
  { plan: { content: CONTENT, ends: [CONTENT.length], withCreation: 6 * MIB, lengthKnownFrom: CONTENT.length } },
);

stories(
  'two whole parts whose length is told after the last byte',
  { secondComplete: 'same-etag' },
  { plan: { content: CONTENT.subarray(0, 10 * MIB), ends: [10 * MIB], lengthKnownFrom: 10 * MIB } },
);

stories(
  'three parts that are taken back before the last one',
  { secondComplete: 'no-such-upload' },
  {
    plan: { content: CONTENT, ends: [7 * MIB] },
    leaves: 'nothing',
    async tell(client) {
      await client.persist(async () => {
        await client.create();
        if ((await client.head()) !== 200) return;
        if ((await client.askOffset()) === 0) await client.append(0);
        await client.terminate();
        assert.ok([404, 410].includes(await client.head()));
      });
    },
  },
);
