/** Uploads whose whole content is one stored object: no multipart upload in S3. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { patternBytes } from '../support/test-relay.ts';
import { freshDatabase } from './support/crash-database.ts';
import { startCrashWorld } from './support/crash-world.ts';
import { killAtEveryStep, type Story } from './support/every-step.ts';

const KIB = 2 ** 10;

function stories(name: string, story: Story): void {
  test(`${name}: whole and once, whichever step the server is killed at`, async (t: TestContext) => {
    const world = await startCrashWorld(t, { databaseUrl: await freshDatabase() });
    await killAtEveryStep(t, world, story);
  });
}

stories('a small file in one PATCH', { plan: { content: patternBytes(200 * KIB), ends: [] } });

stories('a small file in three PATCHes, whose tails are merged', {
  plan: { content: patternBytes(300 * KIB), ends: [100 * KIB, 200 * KIB] },
});

stories('a small file that comes with its creation', {
  plan: { content: patternBytes(200 * KIB), ends: [], withCreation: 200 * KIB },
});

stories('a small file of which a part comes with its creation', {
  plan: { content: patternBytes(200 * KIB), ends: [], withCreation: 80 * KIB },
});

stories('an empty file', { plan: { content: Buffer.alloc(0), ends: [] } });

stories('a small file whose length is told with its last bytes', {
  plan: { content: patternBytes(200 * KIB), ends: [120 * KIB], lengthKnownFrom: 120 * KIB },
});

stories('a small file whose length is told after its last byte', {
  plan: { content: patternBytes(200 * KIB), ends: [200 * KIB], lengthKnownFrom: 200 * KIB },
});

stories('a small file that is taken back before its last byte', {
  plan: { content: patternBytes(200 * KIB), ends: [120 * KIB] },
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
});
