import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { checkMutants, MUTANTS, type Mutant } from './mutants.ts';

const ROOT = new URL('../../', import.meta.url);
const LOADER = new URL('./load-mutant.ts', import.meta.url).href;

export interface MutantResult {
  mutant: Mutant;
  /** What gave it away; null: it survived. */
  noticed: string | null;
}

/**
 * Runs the simulation with each mutant in a process of its own, until the first run that breaks something.
 *
 * @param secondsEach how long a mutant may go unnoticed
 * @param only part of the names of those to run; empty: all
 */
export async function* runMutants(script: string, secondsEach: number, only: string): AsyncGenerator<MutantResult> {
  checkMutants(ROOT);
  const chosen = MUTANTS.filter(({ name }) => name.includes(only));
  for (const mutant of chosen) yield { mutant, noticed: await runMutant(mutant, script, secondsEach) };
}

async function runMutant(mutant: Mutant, script: string, seconds: number): Promise<string | null> {
  const args = ['--import', LOADER, script, '--seconds', String(seconds), '--first'];
  const child = spawn(process.execPath, args, {
    cwd: fileURLToPath(ROOT),
    env: { ...process.env, SIMULATED_MUTANT: mutant.name },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  if (code === 0) return null;
  if (code !== 1) throw new Error(`mutant "${mutant.name}": the simulation ended with ${code}\n${output}`);
  return output.split('\n', 1)[0] ?? '';
}
