import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseFlushVictim, chooseSpillVictim, type FillingBuffer } from '../../src/relay/spill-victims.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

function filling(name: string, differs: Partial<FillingBuffer>): FillingBuffer & { name: string } {
  const ordinary = { bytes: MIB, expectedBytes: 8 * MIB, openedAtMs: 0, lastProgress: 1 };
  return { name, heldBytes: MIB, spillable: true, flushWanted: false, ...ordinary, ...differs };
}

test('spilled is what will be needed last: by what is missing and how fast it comes', () => {
  const fast = filling('fast', { openedAtMs: 900 });
  const slow = filling('slow', { openedAtMs: 0 });
  const nearlyFull = filling('nearly full', { openedAtMs: 0, bytes: 7 * MIB, heldBytes: 7 * MIB });
  assert.equal(chooseSpillVictim([fast, nearlyFull, slow], 1000)?.name, 'slow');
  assert.equal(chooseSpillVictim([fast, nearlyFull], 1000)?.name, 'fast', 'it lacks more than the slower one');
  assert.equal(chooseSpillVictim([nearlyFull], 1000)?.name, 'nearly full');
});

test('among equals the one that frees most is spilled', () => {
  const other = filling('other', { heldBytes: 2 * MIB });
  assert.equal(chooseSpillVictim([filling('one', {}), other], 5)?.name, 'other');
});

test('buffers that hold little, or are spilled already, stay as they are', () => {
  assert.equal(chooseSpillVictim([filling('small', { heldBytes: 100 * KIB })], 1000), null);
  assert.equal(chooseSpillVictim([filling('spilled', { spillable: false })], 1000), null);
  assert.equal(chooseSpillVictim([], 1000), null);
});

test('flushed is what has gone longest without progress', () => {
  const idle = filling('idle', { lastProgress: 5 });
  const busy = filling('busy', { lastProgress: 9 });
  assert.equal(chooseFlushVictim([busy, idle])?.name, 'idle');
  assert.equal(chooseFlushVictim([busy, { ...idle, flushWanted: true }])?.name, 'busy');
});

test('a client of a few bytes is flushed only when nobody holds more', () => {
  const tiny = filling('tiny', { lastProgress: 0, heldBytes: KIB });
  const large = filling('large', { lastProgress: 7 });
  assert.equal(chooseFlushVictim([tiny, large])?.name, 'large');
  assert.equal(chooseFlushVictim([tiny])?.name, 'tiny');
  assert.equal(chooseFlushVictim([filling('empty', { heldBytes: 0 })]), null);
});
