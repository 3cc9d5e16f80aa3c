import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What of the .cpuprofile format is needed here. */
interface CpuProfile {
  readonly nodes: readonly { id: number; callFrame: CallFrame }[];
  readonly samples: readonly number[];
  /** Microseconds since the sample before. */
  readonly timeDeltas: readonly number[];
}

interface CallFrame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
}

const SHOWN = 30;
/** `(program)` is mostly the wait for the next event, seen from outside of JavaScript. */
const NOT_BUSY = new Set(['(idle)', '(program)']);

/** @returns Markdown: for each profile in the folder, where the busy time went, by function and by module */
export function summarizeProfiles(folder: string): string {
  const files = readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'));
  return files
    .map((name) => `## ${name}\n\n${summarize(JSON.parse(readFileSync(join(folder, name), 'utf8')))}`)
    .join('\n\n');
}

function summarize({ nodes, samples, timeDeltas }: CpuProfile): string {
  const frameOf = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const byFunction = new Map<string, number>();
  const byModule = new Map<string, number>();
  for (const [index, id] of samples.entries()) {
    const frame = frameOf.get(id);
    if (frame === undefined || NOT_BUSY.has(frame.functionName)) continue;
    const ms = (timeDeltas[index] ?? 0) / 1000;
    add(byFunction, functionOf(frame), ms);
    add(byModule, moduleOf(frame), ms);
  }
  return [table('function', byFunction), table('module', byModule)].join('\n\n');
}

function add(sums: Map<string, number>, name: string, ms: number): void {
  sums.set(name, (sums.get(name) ?? 0) + ms);
}

function table(title: string, sums: ReadonlyMap<string, number>): string {
  const total = sums.values().reduce((sum, ms) => sum + ms, 0);
  const lines = [...sums]
    .sort(([, a], [, b]) => b - a)
    .slice(0, SHOWN)
    .map(([name, ms]) => `| ${name} | ${ms.toFixed(0)} | ${((100 * ms) / total).toFixed(1)} % |`);
  return [`| ${title} | self ms | of busy time |`, '| --- | --- | --- |', ...lines].join('\n');
}

function functionOf({ functionName, url, lineNumber }: CallFrame): string {
  const place = url.replace(/^.*\/(?=(src|node_modules)\/)/, '');
  return place === '' ? functionName : `${functionName || '(anonymous)'} ${place}:${lineNumber + 1}`;
}

/** A package, a folder of ours, a module of Node; what is native (system calls, the garbage collector) by its name. */
function moduleOf({ functionName, url }: CallFrame): string {
  if (url === '') return functionName;
  const [, ours] = /\/(src\/[^/]+)\/[^/]+$/.exec(url) ?? [];
  return /node_modules\/(?:@[^/]+\/)?[^/]+/.exec(url)?.[0] ?? ours ?? url.replace(/^.*\/(?=src\/)/, '');
}
