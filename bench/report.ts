/** The outcome as Markdown. */
import { cpus } from 'node:os';
import type { Options } from './options.ts';
import { bytesPerWaitingClient, cpuPerUnit, medianOf, type Outcome, type Round, requestsPerUnit } from './outcome.ts';
import { MIB, type Scenario } from './scenarios.ts';
import { judge } from './targets.ts';

const NOTES = `- CPU: user and system time of the server's process tree; "× bare" is against the bare pipe of the same scenario.
- database CPU: what the Postgres server used meanwhile, not part of the CPU column.
- peak: resident memory, its high-water mark.
- disk: \`write_bytes\` of the process tree, which shows temporary files and not sockets.
- S3 requests: for each upload or HEAD, counted in a pass of its own through a proxy.
- PATCH first/last: median latency of the first and the last ten PATCHes of an upload.
- Medians of the rounds; every byte was read back from S3 and compared. The bare pipe stores one object for each body.`;

export function heading(s3: string, options: Options): string {
  const signing = options.payloadSigning === 'signed' ? ', payloads of tus-relay signed' : '';
  return `# Benchmark${options.quick ? ' (quick: figures for a look, not for comparing)' : ''}

S3: ${s3}; Node ${process.version}; ${cpus().length} × ${cpus()[0]?.model.trim()}; up to ${options.rounds} rounds${signing}`;
}

export function scenarioTables(outcomes: readonly Outcome[]): string {
  const scenarios = [...new Set(outcomes.map(({ scenario }) => scenario))];
  return scenarios.map((scenario) => scenarioTable(scenario, outcomes)).join('\n\n');
}

/** What was promised beside what was measured, and how to read it all. The targets are about the loads of a full run. */
export function conclusion(outcomes: readonly Outcome[], options: Options): string {
  return options.quick ? NOTES : `## What it must reach\n\n${targetTable(outcomes, options)}\n\n${NOTES}`;
}

function scenarioTable(scenario: Scenario, all: readonly Outcome[]): string {
  const outcomes = all.filter((outcome) => outcome.scenario === scenario);
  const bareCpu = cpuPerUnit(outcomes.find(({ server }) => server === 'bare-pipe'));
  const cpuTitle = scenario.unit === 'GiB' ? 'CPU s/GiB' : `CPU ms/${scenario.unit}`;
  const header = [
    'server',
    cpuTitle,
    '× bare',
    'database CPU',
    'wall s',
    'peak MiB',
    'disk MiB',
    'S3 requests',
    'PATCH first/last ms',
    ...(scenario.load.kind === 'waiting'
      ? ['budget MiB', 'open sockets', 'peak above idle MiB', 'beyond the budget, KiB each']
      : []),
  ];
  const rows = outcomes.map((outcome) => {
    if (outcome.problem !== null)
      return [outcome.title, `failed: ${outcome.problem.replaceAll(/\s+/g, ' ').replaceAll('|', '\\|')}`];
    const cpu = cpuPerUnit(outcome);
    const value = (of: (round: Round) => number | null) => medianOf(outcome, of);
    return [
      outcome.title,
      number(cpu, 2),
      number(cpu !== null && bareCpu ? cpu / bareCpu : null, 2),
      seconds(value((round) => round.databaseCpuSecs)),
      number(
        value((round) => round.wallSecs),
        1,
      ),
      number(
        value((round) => round.peakBytes / MIB),
        0,
      ),
      number(
        value((round) => round.diskBytes / MIB),
        0,
      ),
      requestsCell(outcome),
      edges(
        value((round) => round.firstPatchesMs),
        value((round) => round.lastPatchesMs),
      ),
      ...waitingCells(outcome),
    ];
  });
  return `## ${scenario.title} (${scenario.name})\n\n${table(header, rows)}`;
}

function waitingCells(outcome: Outcome): string[] {
  const { load, bufferBytes } = outcome.scenario;
  if (load.kind !== 'waiting') return [];
  const aboveIdle = medianOf(outcome, ({ peakBytes, idleBytes }) => peakBytes - (idleBytes ?? 0));
  const each = bytesPerWaitingClient(outcome);
  return [
    number((bufferBytes ?? 0) / MIB, 0),
    String(load.clients),
    number(aboveIdle === null ? null : aboveIdle / MIB, 0),
    number(each === null ? null : each / 1024, 0),
  ];
}

function targetTable(outcomes: readonly Outcome[], options: Options): string {
  const rows = judge(outcomes, options.payloadSigning === 'signed').map(
    ({ figure, measured, bare, wanted, isReached }) => [
      figure,
      number(measured, 2),
      number(bare, 2),
      wanted,
      isReached === null ? 'not measured' : isReached ? 'reached' : '**missed**',
    ],
  );
  return table(['figure', 'measured', 'bare pipe', 'to reach', ''], rows);
}

function requestsCell(outcome: Outcome): string {
  const { requests } = outcome;
  if (requests === null) return '–';
  const operations = [...requests].sort(([, a], [, b]) => b - a).map(([name, count]) => `${name} ${number(count, 1)}`);
  return `${number(requestsPerUnit(outcome), 1)}${operations.length > 0 ? ` (${operations.join(', ')})` : ''}`;
}

function edges(first: number | null, last: number | null): string {
  return first === null || last === null ? '' : `${number(first, 1)} / ${number(last, 1)}`;
}

function seconds(value: number | null): string {
  return value === null ? '' : `${number(value, 2)} s`;
}

function number(value: number | null, digits: number): string {
  return value === null ? '–' : String(Number(value.toFixed(digits)));
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, header.map(() => '---'), ...rows.map((row) => header.map((_, column) => row[column] ?? ''))];
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n');
}
