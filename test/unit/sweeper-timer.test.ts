/** What a server's own turns do for the evidence that the storage is ours. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { StorageElsewhereError } from '../../src/relay/storage-canary.ts';
import { Sweeper, type SweeperDependencies } from '../../src/relay/sweep.ts';
import { S3Error } from '../../src/s3/s3-errors.ts';
import { eventually } from '../support/eventually.ts';
import { MemoryDatabase } from '../support/memory-database.ts';

/** Nothing to sweep. */
function startSweeper(t: TestContext, evidence: Pick<SweeperDependencies, 'canary' | 'marker'>) {
  const failures: unknown[] = [];
  const nothing = async () => ({ removed: 0, failure: null, more: false });
  const sweeper = new Sweeper(
    {
      ...evidence,
      database: new MemoryDatabase(),
      expirer: { endBatch: async () => ({ expired: 0, adopted: 0, unknown: [], failure: null, full: false }) },
      sweeps: { findStuckCompletions: async () => [], purgeEnded: async () => 0 },
      queue: { enqueue: async () => {} },
      discards: { removeUndone: nothing, recheck: nothing },
      onFailure: (error) => failures.push(error),
    },
    1,
  );
  sweeper.start();
  t.after(() => sweeper.stop());
  return failures;
}

test('the canary is looked at in each turn, and kept in some', async (t) => {
  const [kept, looked, marked] = [t.mock.fn(async () => {}), t.mock.fn(async () => {}), t.mock.fn(async () => {})];
  looked.mock.mockImplementationOnce(() => Promise.reject(new StorageElsewhereError('another one')));
  const failures = startSweeper(t, { canary: { keep: kept, check: looked }, marker: { keep: marked } });
  await eventually('several looks', async () => (looked.mock.callCount() >= 3 ? true : undefined));
  assert.deepEqual([kept.mock.callCount(), marked.mock.callCount(), failures], [1, 1, []]);
});

test('where the canary is denied the marker is kept all the same, and it is said once an hour', async (t) => {
  const denied = new S3Error('ListParts', 'AccessDenied', 403, 'refused');
  const [looked, marked] = [t.mock.fn(async () => {}), t.mock.fn(async () => {})];
  const keep = () => Promise.reject(denied);
  const failures = startSweeper(t, { canary: { keep, check: looked }, marker: { keep: marked } });
  await eventually('several looks', async () => (looked.mock.callCount() >= 3 ? true : undefined));
  assert.deepEqual([marked.mock.callCount(), failures], [1, [denied]]);
});
