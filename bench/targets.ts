/** What the product has promised to reach, beside what was measured. */
import { bytesPerWaitingClient, cpuPerUnit, medianOf, type Outcome, requestsPerUnit } from './outcome.ts';
import { MIB } from './scenarios.ts';

export interface Verdict {
  readonly figure: string;
  /** null: not measured in this run; likewise below. */
  readonly measured: number | null;
  readonly bare: number | null;
  readonly wanted: string;
  readonly isReached: boolean | null;
}

interface Target {
  readonly figure: string;
  readonly scenario: string;
  readonly measure: (outcome: Outcome | undefined) => number | null;
  readonly atMost: number;
  /** The limit is a multiple of what the bare pipe has, not a figure of its own. */
  readonly isTimesBare?: boolean;
  /** Only where payloads are signed, or only where they are not. */
  readonly signed?: boolean;
}

/** A second measurement of the same thing can be so much higher. */
const NOISE = 1.15;

const TARGETS: readonly Target[] = [
  {
    figure: 'CPU s per GiB, one PATCH',
    scenario: 'one-patch',
    measure: cpuPerUnit,
    atMost: 1.15,
    isTimesBare: true,
    signed: false,
  },
  {
    figure: 'CPU s per GiB, one PATCH, signed',
    scenario: 'one-patch',
    measure: cpuPerUnit,
    atMost: 1.45,
    isTimesBare: true,
    signed: true,
  },
  {
    figure: 'CPU ms per 64 KiB upload, POST + PATCH',
    scenario: 'small',
    measure: cpuPerUnit,
    atMost: 2.5,
    isTimesBare: true,
  },
  { figure: 'S3 requests per small upload', scenario: 'small', measure: requestsPerUnit, atMost: 1 },
  { figure: 'S3 requests, 512 MiB in 8 MiB PATCHes', scenario: '8-mib-patches', measure: requestsPerUnit, atMost: 70 },
  { figure: 'S3 requests, 128 MiB in 1 MiB PATCHes', scenario: '1-mib-patches', measure: requestsPerUnit, atMost: 170 },
  { figure: 'CPU s per GiB, 1 MiB PATCHes', scenario: '1-mib-patches', measure: cpuPerUnit, atMost: 6 },
  { figure: 'S3 requests per HEAD', scenario: 'head', measure: requestsPerUnit, atMost: 0 },
  { figure: 'CPU ms per HEAD', scenario: 'head', measure: cpuPerUnit, atMost: 0.6 },
  { figure: 'local disk, MiB, one PATCH', scenario: 'one-patch', measure: diskMib, atMost: 0 },
  { figure: 'peak memory, MiB, 300 slow clients', scenario: 'slow-300', measure: peakMib, atMost: 350 },
  {
    figure: 'memory beyond the budget, KiB for each of 3,000 waiting clients',
    scenario: 'waiting-3000',
    measure: kibPerWaitingClient,
    atMost: 64,
  },
  {
    figure: 'last ten PATCHes against the first, 64',
    scenario: '8-mib-patches',
    measure: lastAgainstFirst,
    atMost: NOISE,
  },
];

/** @param signsPayloads whether our server signed what it sent */
export function judge(outcomes: readonly Outcome[], signsPayloads: boolean): Verdict[] {
  return TARGETS.filter(({ signed }) => signed === undefined || signed === signsPayloads).map((target) => {
    const of = (server: string) =>
      target.measure(
        outcomes.find((it) => it.server === server && it.scenario.name === target.scenario && it.problem === null),
      );
    const measured = of('ours');
    const bare = of('bare-pipe');
    const { atMost, isTimesBare = false } = target;
    const limit = isTimesBare ? (bare === null ? null : bare * atMost) : atMost;
    return {
      figure: target.figure,
      measured,
      bare,
      wanted: isTimesBare ? `at most ${atMost} × bare (${ratio(measured, bare)})` : `at most ${atMost}`,
      isReached: measured === null || limit === null ? null : measured <= limit,
    };
  });
}

function ratio(measured: number | null, bare: number | null): string {
  return measured === null || !bare ? 'unknown' : `is ${(measured / bare).toFixed(2)}`;
}

function diskMib(outcome: Outcome | undefined): number | null {
  return medianOf(outcome, ({ diskBytes }) => diskBytes / MIB);
}

function peakMib(outcome: Outcome | undefined): number | null {
  return medianOf(outcome, ({ peakBytes }) => peakBytes / MIB);
}

function kibPerWaitingClient(outcome: Outcome | undefined): number | null {
  const bytes = bytesPerWaitingClient(outcome);
  return bytes === null ? null : bytes / 1024;
}

function lastAgainstFirst(outcome: Outcome | undefined): number | null {
  return medianOf(outcome, ({ firstPatchesMs, lastPatchesMs }) =>
    firstPatchesMs === null || lastPatchesMs === null ? null : lastPatchesMs / firstPatchesMs,
  );
}
