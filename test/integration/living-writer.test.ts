/** A writer that is alive keeps its upload, however little of it is to be seen from outside. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { sql } from 'kysely';
import { eventually } from '../support/eventually.ts';
import { patternBytes, startTestRelay } from '../support/test-relay.ts';

const EXPIRES_SECS = 60;
const STEP_SECS = 25;

async function startWriter(t: TestContext, lengthBytes: number) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const node = await startTestRelay(t, { uploadExpiresSecs: EXPIRES_SECS });
  const { upload } = await node.relay.create({ owner: 'public', lengthBytes, metadata: null, body: null });
  const { uploadId } = upload;
  const source = new PassThrough();
  const body = { source, declaredBytes: null, stop: new AbortController().signal };
  const answer = node.relay.append({ uploadId, offsetBytes: 0, declaredLengthBytes: null, body });
  answer.catch(() => {});
  const row = async () => (await node.catalog.find(uploadId)) ?? assert.fail('the row is gone');
  await eventually('the writer has claimed', async () => ((await row()).writer === null ? undefined : true));

  /** For the database, for the process, and for its timers. */
  async function letTimePass(): Promise<void> {
    const age = sql`make_interval(secs => ${STEP_SECS})`;
    await sql`UPDATE uploads SET expires_at = expires_at - ${age}, writer_seen_at = writer_seen_at - ${age}`.execute(
      node.database.db,
    );
    await node.clock.sleep(STEP_SECS * 1_000);
    t.mock.timers.tick(STEP_SECS * 1_000);
    await eventually('the writer has said that it is alive', async () => {
      const { rows } = await sql<{ fresh: boolean }>`
        SELECT expires_at > now() + make_interval(secs => ${EXPIRES_SECS - STEP_SECS + 5}) AS fresh FROM uploads`.execute(
        node.database.db,
      );
      return rows[0]?.fresh ? true : undefined;
    });
    assert.equal((await row()).overdue, false);
  }
  return { node, source, answer, letTimePass };
}

test('a body that trickles for longer than an upload lasts does not expire under its writer', async (t) => {
  const { source, answer, letTimePass } = await startWriter(t, 500);
  const content = patternBytes(500);
  for (let step = 0; step < 5; step++) {
    source.write(content.subarray(step * 100, (step + 1) * 100));
    await letTimePass();
  }
  source.end();
  assert.equal((await answer).upload.state, 'finished');
});

for (const [what, lengthBytes] of [
  ['the one object of a small file', 500],
  ['the last part', 1_500],
] as const) {
  test(`nor does one whose S3 takes longer than that for ${what}`, async (t) => {
    const { node, source, answer, letTimePass } = await startWriter(t, lengthBytes);
    const storing = Promise.withResolvers<void>();
    const stored = Promise.withResolvers<void>();
    node.storage.fate = async ({ bytes }) => {
      if (bytes === 500) {
        storing.resolve();
        await stored.promise;
      }
      return { kind: 'ok' };
    };
    source.end(patternBytes(lengthBytes));
    await storing.promise;
    // Longer than the upload lasts, and shorter than a call to S3 may take.
    for (let step = 0; step < 3; step++) await letTimePass();
    stored.resolve();
    assert.equal((await answer).upload.state, 'finished');
  });
}
