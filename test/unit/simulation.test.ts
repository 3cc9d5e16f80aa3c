import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runMutants } from '../simulation/run-mutants.ts';
import { runSimulation } from '../simulation/run-simulation.ts';
import { installVirtualTimers } from '../simulation/virtual-timers.ts';

installVirtualTimers();

test('a few simulated runs break nothing; `npm run simulate` has thousands', async () => {
  const broken: string[] = [];
  for (let seed = 1; seed <= 100; seed += 1) {
    const { violation } = await runSimulation(seed, { traces: false });
    if (violation !== null) broken.push(`seed ${seed}: ${violation.message}`);
  }
  assert.deepEqual(broken, []);
});

test('a seed gives the same run again, step by step', async () => {
  for (const seed of [7, 41, 97]) {
    const first = await runSimulation(seed, { traces: true });
    const again = await runSimulation(seed, { traces: true });
    assert.ok(first.trace.length > 10);
    assert.deepEqual(again.trace, first.trace);
  }
});

test('every mutant still fits the sources, and one of them is noticed', async () => {
  const script = fileURLToPath(new URL('../../scripts/simulate.ts', import.meta.url));
  const noticed: (string | null)[] = [];
  for await (const result of runMutants(script, 60, 'parts are committed as they come')) noticed.push(result.noticed);
  assert.equal(noticed.length, 1);
  assert.match(noticed[0] ?? '', /V9/);
});
