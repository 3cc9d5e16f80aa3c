/** The heart of the crash tests: the same story again and again, each time with a kill at another step. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CrashClient, type UploadPlan } from './crash-client.ts';
import type { CrashWorld } from './crash-world.ts';
import type { Moment } from './step-probe.ts';

/** No story has so many steps: a run that is killed at each of them never ends. */
const MOST_STEPS = 200;
const SETTLE_MS = 60_000;
const POLL_MS = 50;

export interface Story {
  plan: UploadPlan;
  /** Before the steps are counted. */
  prelude?: (world: CrashWorld, client: CrashClient) => Promise<void>;
  /** Left out: the upload from its first to its last byte. */
  tell?: (client: CrashClient) => Promise<void>;
  /** What the story leaves. Left out: one record, and one object with the client's bytes. */
  leaves?: 'nothing';
}

/**
 * Tells the story with a kill before and after its first step, its second, … until a run ends without having been
 * killed. After each run the catalog and the bucket hold what the story leaves, and nothing else.
 */
export async function killAtEveryStep(t: TestContext, world: CrashWorld, story: Story): Promise<void> {
  const known = new Set<string>();
  let kills = 0;
  for (let step = 1; ; step += 1) {
    assert.ok(step <= MOST_STEPS, 'the story does not end');
    const before = await tellOnce(world, story, step, 'before', known);
    const after = await tellOnce(world, story, step, 'after', known);
    kills += before + after;
    // What runs in the background may be one step more or less from run to run.
    if (before === 0 && after === 0) break;
  }
  assert.ok(kills > 0, 'no run was killed');
  assert.deepEqual(world.server.loggedErrors(), []);
  t.diagnostic(`${kills} kills`);
}

async function tellOnce(world: CrashWorld, story: Story, step: number, moment: Moment, known: Set<string>) {
  const client = new CrashClient(world, story.plan);
  try {
    await world.disarm();
    await story.prelude?.(world, client);
    const deathsBefore = world.deaths;
    await world.arm(step, moment);
    if (story.tell === undefined) await client.upload();
    else await story.tell(client);
    await assertNothingLeft(world, client, story, known);
    return world.deaths - deathsBefore;
  } catch (error) {
    throw new Error(`killed ${moment} step ${step}: ${String(error)}\n${world.server.output.slice(-3_000)}`, {
      cause: error,
    });
  }
}

/**
 * @param known ids of files that earlier runs have left
 */
export async function assertNothingLeft(
  world: CrashWorld,
  client: CrashClient,
  { plan, leaves }: Pick<Story, 'plan' | 'leaves'>,
  known: Set<string>,
): Promise<void> {
  // A POST whose answer was lost has made an upload that nobody knows.
  await world.expire([]);
  const report = await settled(world);
  const finished = report.uploads.filter(({ state }) => state === 'finished').map(({ uploadId }) => uploadId);
  const files = report.files.map(({ fileId }) => fileId);
  assert.deepEqual(files.toSorted(), finished.toSorted(), 'one record of each finished upload');
  assert.equal(files.includes(client.uploadId), leaves !== 'nothing', 'the record of the upload');
  const fresh = report.files.filter(({ fileId }) => !known.has(fileId));
  // Only a POST that brings all the bytes can leave a file whose address no client has learnt.
  const mayBeTwice = plan.content.length === 0 || plan.withCreation === plan.content.length;
  if (!mayBeTwice) assert.equal(fresh.length, leaves === 'nothing' ? 0 : 1, 'records of this upload');
  for (const { fileId, objectKey } of fresh) {
    assert.ok((await world.read(objectKey))?.equals(plan.content), 'the bytes of the object');
    known.add(fileId);
  }
  assert.equal(
    report.uploads.reduce((sum, { pieces }) => sum + pieces, 0),
    0,
    'rows of parts and tails',
  );
  const { objectKeys, multipartKeys } = await world.bucket();
  assert.deepEqual(objectKeys, report.files.map(({ objectKey }) => objectKey).toSorted(), 'objects in the bucket');
  assert.deepEqual(multipartKeys, [], 'multipart uploads in the bucket');
}

/** Waits until the server's own work is done: nothing open, nothing completing, nothing to remove. */
async function settled(world: CrashWorld) {
  const until = Date.now() + SETTLE_MS;
  for (;;) {
    const report = await world.report();
    const alive = report.uploads.filter(({ state }) => state === 'open' || state === 'completing');
    if (alive.length === 0 && report.discards === 0) return report;
    assert.ok(
      Date.now() < until,
      `the server does not settle: ${JSON.stringify({ alive, discards: report.discards })}`,
    );
    await sleep(POLL_MS);
  }
}
