/** What a sweep did, for the operator to read. */
import type { SweepReport } from '../app/sweep-parts.ts';
import type { DeepSweepReport } from '../relay/deep-sweep.ts';

type Row = [label: string, count: number | string];

export function describeSweep(report: SweepReport): string {
  const { counts, deep, failures, request } = report;
  const rows: Row[] = [
    [request.dryRun ? 'uploads to expire' : 'uploads expired', counts.expired],
    ...(request.dryRun ? [] : ([['uploads found whole, and finished', counts.adopted]] satisfies Row[])),
    [request.dryRun ? 'completions to take up' : 'completions taken up', counts.completionsResumed],
    [request.dryRun ? 'leftovers to remove' : 'leftovers removed', counts.removed],
    [request.dryRun ? 'leftovers to look at again' : 'leftovers looked at again', counts.rechecked],
    [request.dryRun ? 'ended uploads to forget' : 'ended uploads forgotten', counts.purged],
  ];
  let total = rows.reduce((sum, [, count]) => sum + Number(count), 0);
  const lines = [request.dryRun ? 'Dry run: nothing was changed.' : 'Swept.', ...tableOf(rows)];
  if (deep !== null) {
    total += deep.objectsUnknown + deep.multipartsUnknown;
    lines.push('Deep sweep:', ...describeDeep(deep, request.dryRun));
  }
  lines.push(`Total: ${total}`);
  if (deep?.refusal != null) {
    lines.push(`${request.dryRun ? 'A deep sweep would be refused' : 'The deep sweep was refused'}: ${deep.refusal}`);
  }
  for (const failure of failures) lines.push(`Failed: ${failure}`);
  return `${lines.join('\n')}\n`;
}

/** 0: everything that was asked for has been done. */
export function exitCodeOf({ deep, failures }: SweepReport): 0 | 1 {
  return failures.length === 0 && (deep?.refusal ?? null) === null ? 0 : 1;
}

function describeDeep(deep: DeepSweepReport, dryRun: boolean): string[] {
  if (deep.refusal !== null && !dryRun && deep.objectsListed === 0) return ['  nothing was looked at'];
  const rows: Row[] = [
    ['objects of ours listed', deep.objectsListed],
    ['objects nobody knows', deep.objectsUnknown],
    ['multipart uploads listed', deep.multipartsListed ?? 'not supported'],
    ['multipart uploads nobody knows', deep.multipartsUnknown],
  ];
  if (!dryRun) rows.push(['of these removed by now', deep.removed]);
  const lines = tableOf(rows);
  for (const key of deep.named) lines.push(`    ${key}`);
  const unnamed = deep.objectsUnknown + deep.multipartsUnknown - deep.named.length;
  if (unnamed > 0) lines.push(`    and ${unnamed} more`);
  if (!deep.multipartsListed) {
    lines.push(
      '  (some services, MinIO for one, list multipart uploads by their exact key only: none are found there)',
    );
  }
  return lines;
}

function tableOf(rows: readonly Row[]): string[] {
  return rows.map(([label, count]) => `  ${label.padEnd(34)}${count}`);
}
