import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HeldPayload } from '../../src/relay/held-payload.ts';
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

function textOf(payload: HeldPayload | null): string | null {
  return payload === null ? null : Buffer.concat([...(payload.read() as Iterable<Uint8Array>)]).toString();
}

test('a tail comes back when its segments are exactly those of the row, and then is gone', () => {
  const { budget, tails } = openTailMemory();
  tails.remember('u', 'k1', segment(budget, 'one '), []);
  tails.remember('u', 'k2', segment(budget, 'two '), ['k1']);
  tails.remember('u', 'k3', segment(budget, 'three'), ['k1', 'k2']);
  const taken = tails.take('u', ['k1', 'k2', 'k3']);
  assert.equal(textOf(taken), 'one two three');
  assert.equal(taken?.bytes, 13);
  assert.equal(Buffer.from(taken?.head(6) as Uint8Array).toString(), 'one tw');
  assert.equal(tails.take('u', ['k1', 'k2', 'k3']), null);
  assert.equal(budget.figures.inFlightBytes, 3 * KIB);
  taken?.release();
  assert.equal(budget.figures.usedBytes, 0);
  assert.equal(budget.figures.inFlightBytes, 0);
});

test('another node wrote in between: nothing of what we remember is used', () => {
  const { budget, tails } = openTailMemory();
  tails.remember('u', 'k1', segment(budget, 'one'), []);
  assert.equal(tails.take('u', ['k1', 'theirs']), null);
  tails.remember('u', 'k1', segment(budget, 'one'), []);
  tails.remember('u', 'k3', segment(budget, 'three'), ['k1', 'theirs']);
  assert.equal(tails.size, 0);
  tails.remember('v', 'k2', segment(budget, 'two'), ['before our start']);
  assert.equal(tails.take('v', ['before our start', 'k2']), null);
  assert.equal(budget.figures.usedBytes, 0);
});

test('a tail that was written anew as one segment replaces what was remembered', () => {
  const { budget, tails } = openTailMemory();
  tails.remember('u', 'k1', segment(budget, 'one'), []);
  tails.remember('u', 'k2', segment(budget, 'one and two'), []);
  assert.equal(textOf(tails.take('u', ['k2'])), 'one and two');
});

test('memory that somebody needs is taken from the tail that was longest unused', () => {
  const { budget, tails } = openTailMemory();
  for (const id of ['a', 'b']) tails.remember(id, id, segment(budget, id, MIB), []);
  tails.remember('a', 'a2', segment(budget, '!', KIB), ['a']);
  const buffer = new PartBuffer(budget, MIB, () => assert.fail());
  const chunk = Buffer.allocUnsafeSlow(1.5 * MIB);
  assert.equal(buffer.append(chunk), true, 'nobody waits for memory that is only remembered');
  assert.equal(tails.take('b', ['b']), null);
  const kept = tails.take('a', ['a', 'a2']);
  assert.equal(kept?.bytes, MIB + KIB);
  kept?.release();
  buffer.release();
  assert.equal(budget.figures.usedBytes, 0);
  assert.equal(budget.figures.waitsTotal, 0);
});

test('while somebody waits for memory nothing is remembered', async () => {
  const { budget, tails } = openTailMemory();
  const sent = segment(budget, 'x', 3 * MIB - 64 * KIB);
  const stored = segment(budget, 'y', 64 * KIB);
  const buffer = new PartBuffer(budget, MIB, () => assert.fail());
  const waits = buffer.append(Buffer.allocUnsafeSlow(64 * KIB));
  assert.ok(waits instanceof Promise);
  tails.remember('u', 'k', stored, []);
  assert.equal(await waits, true);
  assert.equal(tails.size, 0);
  sent.release();
  buffer.release();
});

test('forgetting gives the memory back, also twice', () => {
  const { budget, tails } = openTailMemory();
  tails.remember('u', 'k', segment(budget, 'x', MIB), []);
  tails.forget('u');
  tails.forget('u');
  assert.equal(budget.figures.usedBytes, 0);
});
