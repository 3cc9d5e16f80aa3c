/** S3 on its bad days: whatever it does, the upload ends with the right bytes, one record, and nothing left over. */
import { test } from 'node:test';
import type { FaultAction, FaultRule } from '../../src/dev-s3/faults.ts';
import { patternBytes } from '../support/test-relay.ts';
import { CrashClient, type UploadPlan } from './support/crash-client.ts';
import { freshDatabase } from './support/crash-database.ts';
import { type CrashWorld, startCrashWorld } from './support/crash-world.ts';
import { assertNothingLeft } from './support/every-step.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const OUTAGE_MS = 10_000;

/** Tails, merges, a multipart upload of three parts. */
const BIG: UploadPlan = { content: patternBytes(11.5 * MIB), ends: [2 * MIB, 4 * MIB, 8 * MIB] };
/** Two tails, merged into one object. */
const SMALL: UploadPlan = { content: patternBytes(300 * KIB), ends: [100 * KIB, 200 * KIB] };

const OPERATIONS = [
  'PutObject',
  'CreateMultipartUpload',
  'UploadPart',
  'CompleteMultipartUpload',
  'DeleteObjects',
] as const;

const ONCE: readonly [name: string, action: FaultAction][] = [
  ['does it and loses the reply', { kind: 'drop-reply' }],
  ['does it and says 500', { kind: 'error', status: 500, code: 'InternalError', afterwards: true }],
  ['does nothing and says 503', { kind: 'error', status: 503, code: 'SlowDown' }],
  ['breaks the connection at once', { kind: 'cut-request', afterBytes: 1 }],
];

test('S3 fails once in each way at each operation', async (t) => {
  const world = await startCrashWorld(t, { databaseUrl: await freshDatabase(), secondComplete: 'no-such-upload' });
  const known = new Set<string>();
  for (const [name, action] of ONCE) {
    for (const operation of OPERATIONS) {
      await t.test(`${operation}: ${name}`, async () => {
        await survive(world, known, [{ operation, times: 2, action }], [BIG, SMALL]);
      });
    }
  }
});

test('S3 fails at random, at every operation', async (t) => {
  const world = await startCrashWorld(t, { databaseUrl: await freshDatabase() });
  const known = new Set<string>();
  for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
    await t.test(`seed ${seed}`, async () => {
      const often = { operation: '*', probability: 0.1 } as const;
      const rules: FaultRule[] = [
        { ...often, seed, action: { kind: 'error', status: 500, code: 'InternalError' } },
        { ...often, seed: seed + 100, action: { kind: 'error', status: 503, code: 'SlowDown', afterwards: true } },
        { ...often, seed: seed + 200, action: { kind: 'drop-reply' } },
        { operation: 'UploadPart', probability: 0.2, seed, action: { kind: 'cut-request', afterBytes: MIB } },
      ];
      await survive(world, known, rules, [BIG, SMALL]);
    });
  }
});

for (const kind of ['busy', 'cut'] as const) {
  test(`S3 is ${kind === 'busy' ? 'busy' : 'not to be reached'} for ten seconds in the middle of an upload`, async (t) => {
    const world = await startCrashWorld(t, { databaseUrl: await freshDatabase() });
    const client = new CrashClient(world, BIG);
    await client.create();
    await client.append(await client.append(0));
    world.s3.faults.startOutage(kind, OUTAGE_MS);
    await client.upload();
    await assertNothingLeft(world, client, { plan: BIG }, new Set());
  });
}

test('S3 takes a part and never answers: the call is given up, and the part sent again', async (t) => {
  const world = await startCrashWorld(t, { databaseUrl: await freshDatabase() });
  const hang: FaultRule = { operation: 'UploadPart', times: 1, action: { kind: 'hang', when: 'received' } };
  await survive(world, new Set(), [hang], [BIG]);
});

test('S3 cannot complete for a while: the server does it later, without the client', async (t) => {
  const world = await startCrashWorld(t, { databaseUrl: await freshDatabase() });
  const client = new CrashClient(world, BIG);
  world.s3.faults.add({
    operation: 'CompleteMultipartUpload',
    times: 12,
    action: { kind: 'error', status: 503, code: 'SlowDown' },
  });
  await client.create();
  // The client sends its last byte, gets no yes, and never comes back.
  await client.sendEverything();
  await assertNothingLeft(world, client, { plan: BIG }, new Set());
});

/** Uploads each plan while S3 misbehaves, then looks at what is left when it behaves again. */
async function survive(world: CrashWorld, known: Set<string>, rules: FaultRule[], plans: UploadPlan[]): Promise<void> {
  for (const plan of plans) {
    for (const rule of rules) world.s3.faults.add(rule);
    const client = new CrashClient(world, plan);
    try {
      await client.upload();
    } finally {
      world.s3.faults.clear();
    }
    await assertNothingLeft(world, client, { plan }, known);
  }
}
