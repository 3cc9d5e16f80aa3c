import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HeldPayload } from '../../src/relay/held-payload.ts';
import { joinPayloads } from '../../src/relay/held-payload.ts';
import { MemoryBudget } from '../../src/relay/memory-budget.ts';
import { PartBuffer } from '../../src/relay/part-buffer.ts';
import { SpillStore } from '../../src/relay/spill-store.ts';
import { TailMemory } from '../../src/relay/tail-memory.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** An eighth is kept back for what is unread. */
const CAPACITY = Math.ceil((4 * MIB * 8) / 7);

/** 3 MiB and a reserve of one; no disk at all. */
function openTailMemory(): { budget: MemoryBudget; tails: TailMemory } {
  const noDisk = async () => {
    throw new Error('no disk here');
  };
  const store = new SpillStore(noDisk, { capBytes: null, now: () => 0, onFailure: () => {} });
  const budget = new MemoryBudget(CAPACITY, MIB, store, () => 0);
  return { budget, tails: new TailMemory(budget) };
}

function segment(budget: MemoryBudget, text: string, bytes = text.length): PartBuffer {
  const buffer = new PartBuffer(budget, MIB, () => {});
  assert.equal(buffer.append(Buffer.alloc(bytes, text)), true);
  buffer.seal();
  return buffer;
}

function textOf(payload: HeldPayload | null | undefined): string | null {
  return payload ? Buffer.concat([...(payload.read() as Iterable<Uint8Array>)]).toString() : null;
}

/** What is taken, and released again. */
function takeTexts(tails: TailMemory, uploadId: string, segmentKeys: string[]): (string | null)[] {
  return tails.take(uploadId, segmentKeys).map((payload) => {
    const text = textOf(payload);
    payload?.release();
    return text;
  });
}

test('segments come back under their keys, and then are gone', () => {
  const { budget, tails } = openTailMemory();
  tails.remember('u', ['k1'], segment(budget, 'one '));
  tails.remember('u', ['k1', 'k2'], segment(budget, 'two '));
  tails.remember('u', ['k1', 'k2', 'k3'], segment(budget, 'three'));
  assert.equal(budget.figures.inFlightBytes, 0, 'what is remembered can be taken back at any time');
  const taken = tails.take('u', ['k1', 'k2', 'k3']).filter((payload) => payload !== null);
  assert.equal(budget.figures.inFlightBytes, budget.figures.usedBytes, 'what is taken cannot');
  const joined = joinPayloads(taken);
  assert.equal(textOf(joined), 'one two three');
  assert.equal(Buffer.from(joined.head(6) as Uint8Array).toString(), 'one tw');
  joined.release();
  assert.deepEqual(tails.take('u', ['k1', 'k2', 'k3']), [null, null, null]);
  assert.equal(budget.figures.usedBytes, 0);
  assert.equal(budget.figures.inFlightBytes, 0);
});

test('another node wrote in between: what is remembered of our segments is right beside theirs', () => {
  const { budget, tails } = openTailMemory();
  tails.remember('u', ['k1'], segment(budget, 'one'));
  tails.remember('u', ['k1', 'theirs', 'k3'], segment(budget, 'three'));
  assert.deepEqual(takeTexts(tails, 'u', ['k1', 'theirs', 'k3']), ['one', null, 'three']);
  tails.remember('v', ['before our start', 'k2'], segment(budget, 'two'));
  assert.deepEqual(takeTexts(tails, 'v', ['before our start', 'k2']), [null, 'two']);
  assert.equal(budget.figures.usedBytes, 0);
});

test('of segments that were replaced, by us or by another node, nothing is kept', () => {
  const { budget, tails } = openTailMemory();
  for (const [place, key] of ['k1', 'k2', 'k3'].entries()) {
    tails.remember('u', ['k1', 'k2', 'k3'].slice(0, place + 1), segment(budget, key, 300));
  }
  tails.remember('u', ['k1', 'k4'], segment(budget, 'two to four'));
  assert.equal(budget.figures.usedBytes, 300 + 11 + 2 * KIB);
  assert.deepEqual(takeTexts(tails, 'u', ['k1', 'k2', 'k3', 'k4']).slice(1), [null, null, 'two to four']);
});

test('memory that somebody needs is taken from the tail that was longest unused, its oldest segment first', () => {
  const { budget, tails } = openTailMemory();
  for (const id of ['a', 'b']) tails.remember(id, [id], segment(budget, id, MIB - 128 * KIB));
  tails.remember('b', ['b', 'b2'], segment(budget, '!', 70 * KIB));
  tails.remember('a', ['a', 'a2'], segment(budget, '!', KIB));
  const buffer = new PartBuffer(budget, MIB, () => assert.fail());
  const chunk = Buffer.allocUnsafeSlow(1.5 * MIB);
  assert.equal(buffer.append(chunk), true, 'nobody waits for memory that is only remembered');
  assert.deepEqual(
    takeTexts(tails, 'b', ['b', 'b2']).map((text) => text?.length),
    [undefined, 70 * KIB],
  );
  assert.deepEqual(
    takeTexts(tails, 'a', ['a', 'a2']).map((text) => text?.length),
    [MIB - 128 * KIB, KIB],
  );
  buffer.release();
  assert.equal(budget.figures.usedBytes, 0);
  assert.equal(budget.figures.waitsTotal, 0);
});

test('a tiny segment is remembered in its own bytes and what a few objects take, not in a buffer to grow into', () => {
  const { budget, tails } = openTailMemory();
  const keys: string[] = [];
  for (let count = 0; count < 100; count += 1) {
    keys.push(`k${count}`);
    tails.remember('u', keys, segment(budget, 'x', 1_100));
  }
  assert.equal(budget.figures.usedBytes, 100 * (1_100 + KIB));
  // Merged into one, they are one.
  const merged = joinPayloads([
    ...tails.take('u', keys).filter((payload) => payload !== null),
    segment(budget, 'y', 1_100),
  ]);
  tails.remember('u', ['merged'], merged);
  assert.equal(budget.figures.usedBytes, 101 * 1_100 + KIB);
  assert.equal(takeTexts(tails, 'u', ['merged'])[0], 'x'.repeat(100 * 1_100) + 'y'.repeat(1_100));
  assert.equal(budget.figures.usedBytes, 0);
});

test('a merged segment of large pieces is not copied', () => {
  const { budget, tails } = openTailMemory();
  const pieces = [segment(budget, 'a', 512 * KIB), segment(budget, 'b', KIB)];
  const { usedBytes } = budget.figures;
  tails.remember('u', ['k'], joinPayloads(pieces));
  assert.equal(budget.figures.usedBytes, usedBytes);
  assert.equal(takeTexts(tails, 'u', ['k'])[0]?.length, 513 * KIB);
  assert.equal(budget.figures.usedBytes, 0);
});

test('while somebody waits for memory nothing is remembered', async () => {
  const { budget, tails } = openTailMemory();
  const sent = segment(budget, 'x', 3 * MIB - 64 * KIB);
  const stored = segment(budget, 'y', 64 * KIB);
  const buffer = new PartBuffer(budget, MIB, () => assert.fail());
  const waits = buffer.append(Buffer.allocUnsafeSlow(64 * KIB));
  assert.ok(waits instanceof Promise);
  tails.remember('u', ['k'], stored);
  assert.equal(await waits, true);
  assert.equal(tails.size, 0);
  sent.release();
  buffer.release();
});

test('where there is no room for a copy nothing is remembered, and nothing is held', () => {
  const { budget, tails } = openTailMemory();
  const tiny = segment(budget, 'x', 100);
  const taken = budget.largestGrantBytes - budget.figures.usedBytes;
  assert.ok(budget.take(taken));
  tails.remember('u', ['k'], tiny);
  assert.equal(tails.size, 0);
  assert.equal(budget.figures.usedBytes, taken);
});

test('forgetting gives the memory back, also twice', () => {
  const { budget, tails } = openTailMemory();
  tails.remember('u', ['k'], segment(budget, 'x', MIB));
  tails.forget('u');
  tails.forget('u');
  assert.equal(budget.figures.usedBytes, 0);
});
