import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toUploadRecord } from '../../src/catalog/upload-record.ts';
import { MemoryBudget, MIN_CAPACITY_BYTES } from '../../src/relay/memory-budget.ts';
import { SpillStore } from '../../src/relay/spill-store.ts';
import { loadTail, MemorySpentError } from '../../src/relay/tail.ts';
import { MemoryObjectStorage } from '../support/memory-object-storage.ts';
import { impatientClock, patternBytes } from '../support/test-relay.ts';

/** More than a quarter of the memory: it goes to a file. */
const TAIL_BYTES = MIN_CAPACITY_BYTES / 2;

for (const [why, openFile] of [
  ['no file can be made', () => Promise.reject(Object.assign(new Error('EMFILE'), { code: 'EMFILE' }))],
  ['the disk is full', () => Promise.resolve(fullDisk)],
] as const) {
  test(`a large tail that cannot be loaded since ${why} is a matter of waiting, and holds nothing`, async () => {
    const clock = impatientClock();
    const budget = new MemoryBudget(
      MIN_CAPACITY_BYTES,
      MIN_CAPACITY_BYTES,
      new SpillStore(openFile, { capBytes: null, now: clock.now, onFailure: () => {} }),
      clock.now,
    );
    const storage = new MemoryObjectStorage();
    await storage.putObject('tail', { bytes: TAIL_BYTES, read: () => [patternBytes(TAIL_BYTES)] }, {});
    const tail = [{ sequence: 1, objectKey: 'tail', bytes: TAIL_BYTES }];
    const loaded = loadTail(storage, clock, budget, uploadAt(TAIL_BYTES), tail);
    await assert.rejects(loaded, (error) => error instanceof MemorySpentError && error.status === 503);
    await budget.spillStore.settled();
    assert.equal(budget.figures.usedBytes, 0);
    assert.equal(budget.spillStore.bytes, 0);
  });
}

const fullDisk = {
  writev: () => Promise.reject(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })),
  read: () => Promise.resolve({ bytesRead: 0 }),
  close: () => Promise.resolve(),
};

function uploadAt(offsetBytes: number) {
  const now = new Date();
  return toUploadRecord({
    ...{ id: 'upload', owner: 'public', object_key: 'key', protocol: 'tus', metadata: null, s3_upload_id: null },
    ...{ length_bytes: 2 * TAIL_BYTES, offset_bytes: offsetBytes, part_bytes: 2 * TAIL_BYTES, state: 'open' },
    ...{ writer: null, writer_seen_at: null, sent_up_to: 0, contested_to: 0, dirty: false, detected_type: null },
    ...{ concat_role: null, created_at: now, expires_at: now, finished_at: null, ended_at: null, overdue: false },
  });
}
