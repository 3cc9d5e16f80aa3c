import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What of the .cpuprofile format is needed here. */
interface CpuProfile {
  readonly nodes: readonly { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  readonly samples: readonly number[];
  /** Microseconds since the sample before. */
  readonly timeDeltas: readonly number[];
}

const SHOWN = 30;
const IDLE = new Set(['(idle)', '(program)']);

/** @returns Markdown: for each profile in the folder, the functions that took most of the busy time themselves */
export function summarizeProfiles(folder: string): string {
  const files = readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'));
  return files
    .map((name) => `## ${name}\n\n${summarize(JSON.parse(readFileSync(join(folder, name), 'utf8')))}`)
    .join('\n\n');
}

function summarize({ nodes, samples, timeDeltas }: CpuProfile): string {
  const nameOf = new Map(nodes.map(({ id, callFrame }) => [id, describe(callFrame)]));
  const selfMs = new Map<string, number>();
  for (const [index, id] of samples.entries()) {
    const name = nameOf.get(id) ?? '';
    selfMs.set(name, (selfMs.get(name) ?? 0) + (timeDeltas[index] ?? 0) / 1000);
  }
  const busyMs = [...selfMs].reduce((sum, [name, ms]) => (IDLE.has(name) ? sum : sum + ms), 0);
  const lines = [...selfMs]
    .filter(([name]) => name !== '(idle)')
    .sort(([, a], [, b]) => b - a)
    .slice(0, SHOWN)
    .map(([name, ms]) => `| ${name} | ${ms.toFixed(0)} | ${((100 * ms) / busyMs).toFixed(1)} % |`);
  return ['| function | self ms | of busy time |', '| --- | --- | --- |', ...lines].join('\n');
}

function describe({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const place = url.replace(/^.*\/(?=(src|node_modules)\/)/, '');
  return place === '' ? functionName : `${functionName || '(anonymous)'} ${place}:${lineNumber + 1}`;
}
