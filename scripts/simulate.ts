/**
 * Runs the relay against stand-ins of its catalog and its storage, under a scheduler that a seed decides:
 *
 *   npm run simulate -- --seeds 10000      that many runs (from --from, default 1); prints the seeds that broke something
 *   npm run simulate -- --seconds 120      as many runs as fit
 *   npm run simulate -- --seed 4711        one run, step by step
 *   npm run simulate -- --mutants          breaks the store on purpose; fails when that is not noticed (--only text: some)
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runMutants } from '../test/simulation/run-mutants.ts';
import { runSimulation } from '../test/simulation/run-simulation.ts';
import { installVirtualTimers } from '../test/simulation/virtual-timers.ts';

/** More seeds that break something say nothing new. */
const MOST_FAILURES = 20;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    seconds: { type: 'string' },
    from: { type: 'string', default: '1' },
    first: { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
  },
});

process.exitCode = await run();

async function run(): Promise<number> {
  if (values.mutants) return runAllMutants(Number(values.seconds ?? 60));
  installVirtualTimers();
  return values.seed === undefined ? runMany() : runOne(Number(values.seed));
}

async function runAllMutants(secondsEach: number): Promise<number> {
  let survivors = 0;
  for await (const { mutant, noticed } of runMutants(fileURLToPath(import.meta.url), secondsEach, values.only)) {
    if (noticed === null) survivors += 1;
    console.log(
      `${noticed === null ? 'SURVIVES' : 'noticed '}  ${mutant.name}${noticed === null ? '' : ` (${noticed})`}`,
    );
  }
  console.log(survivors === 0 ? 'every mutant was noticed' : `${survivors} mutants were not noticed`);
  return survivors === 0 ? 0 : 1;
}

async function runOne(seed: number): Promise<number> {
  const { trace, violation, steps, state } = await runSimulation(seed, { traces: true });
  for (const line of trace) console.log(line);
  console.log(`seed ${seed}: ${steps} steps, ${state ?? 'never created'}, ${violation?.message ?? 'nothing broken'}`);
  return violation === null ? 0 : 1;
}

async function runMany(): Promise<number> {
  const first = Number(values.from);
  const last = values.seeds === undefined ? Number.POSITIVE_INFINITY : first + Number(values.seeds) - 1;
  const until = values.seconds === undefined ? Number.POSITIVE_INFINITY : Date.now() + Number(values.seconds) * 1000;
  const most = values.first ? 1 : MOST_FAILURES;
  const startedAt = Date.now();
  const broken: number[] = [];
  const states = new Map<string, number>();
  let runs = 0;
  let steps = 0;
  for (let seed = first; seed <= last && Date.now() < until && broken.length < most; seed += 1) {
    const result = await runSimulation(seed, { traces: false });
    runs += 1;
    steps += result.steps;
    const end = result.state ?? 'never created';
    states.set(end, (states.get(end) ?? 0) + 1);
    if (result.violation === null) continue;
    broken.push(seed);
    console.log(`seed ${seed}: ${result.violation.message}`);
  }
  const seconds = (Date.now() - startedAt) / 1000;
  console.log(`${runs} runs, ${steps} steps in ${seconds.toFixed(1)} s (${(runs / seconds).toFixed(0)} runs a second)`);
  console.log(`ends: ${[...states].map(([state, count]) => `${state} ${count}`).join(', ')}`);
  if (broken.length > 0)
    console.log(`broken: ${broken.join(' ')} (look with: npm run simulate -- --seed ${broken[0]})`);
  return broken.length > 0 ? 1 : 0;
}
