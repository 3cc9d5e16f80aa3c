/** What a sweep did, for the operator to read. */
import type { SweepReport, SweepRequest } from '../app/sweep-parts.ts';
import type { DeepSweepReport, FoundAs, FoundItem } from '../relay/deep-sweep-report.ts';

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
    total += deep.files + deep.leftovers + (deep.missing ?? 0);
    lines.push('Deep sweep:', ...describeDeep(deep, request));
  }
  lines.push(`Total: ${total}`);
  if (deep?.refusal != null) {
    lines.push(`${request.dryRun ? 'A deep sweep would be refused' : 'The deep sweep was refused'}: ${deep.refusal}`);
  }
  for (const failure of failures) lines.push(`Failed: ${failure}`);
  return `${lines.join('\n')}\n`;
}

/** 0: everything that was asked for has been done. */
export function exitCodeOf({ request, deep, failures }: SweepReport): 0 | 1 {
  if (failures.length > 0) return 1;
  if (deep === null) return 0;
  const isLeft = !request.dryRun && deep.files > deep.adopted;
  return deep.refusal === null && !isLeft && (deep.missing ?? 0) === 0 ? 0 : 1;
}

/** For `--list`: columns divided by tabs, `-` for what is not known. */
export function lineOf({ foundAs, kind, bytes, storedAt, key }: FoundItem): string {
  return `${[foundAs, kind, bytes ?? '-', storedAt ?? '-', key].join('\t')}\n`;
}

function describeDeep(deep: DeepSweepReport, { dryRun, adopt }: SweepRequest): string[] {
  if (deep.refusal !== null && !dryRun && deep.objectsListed === 0) return ['  nothing was looked at'];
  const rows: Row[] = [
    ['objects of ours listed', deep.objectsListed],
    ['objects nobody knows', deep.objectsUnknown],
    ['multipart uploads listed', deep.multipartsListed ?? 'not supported'],
    ['multipart uploads nobody knows', deep.multipartsUnknown],
  ];
  if (dryRun) {
    rows.push([adopt ? 'would be adopted' : 'would be adopted with --adopt', deep.files]);
    rows.push(['would be removed', deep.leftovers]);
  } else {
    rows.push(['finished files without a record', deep.files], ['of these adopted now', deep.adopted]);
    rows.push(['leftovers to remove', deep.leftovers], ['of these removed by now', deep.removed]);
  }
  rows.push(['too young to be removed', deep.young]);
  if (deep.missing !== null) rows.push(['files without an object', deep.missing]);
  const lines = tableOf(rows);
  if (!dryRun && deep.adopted < deep.files) {
    const why = adopt ? 'the catalog or S3 did not let them be' : 'with --adopt they get their records';
    lines.push(`  ${deep.files - deep.adopted} finished files are kept without a record: ${why}`);
  }
  for (const [foundAs, title] of Object.entries(TITLES) as [FoundAs, string][]) {
    const items = deep.named.filter((it) => it.foundAs === foundAs);
    if (items.length === 0) continue;
    lines.push(`  ${title}:`, ...items.map((it) => `    ${nameOf(it)}`));
    const unnamed = countOf(deep, foundAs) - items.length;
    if (unnamed > 0) lines.push(`    and ${unnamed} more (--list names all)`);
  }
  if (!deep.multipartsListed) {
    lines.push(
      '  (some services, MinIO for one, list multipart uploads by their exact key only: none are found there)',
    );
  }
  return lines;
}

const TITLES: Record<FoundAs, string> = {
  file: 'finished files without a record',
  removed: 'leftovers',
  young: 'too young to be removed',
  missing: 'files whose object is not there',
};

function countOf(deep: DeepSweepReport, foundAs: FoundAs): number {
  if (foundAs === 'file') return deep.files;
  if (foundAs === 'removed') return deep.leftovers;
  return foundAs === 'young' ? deep.young : (deep.missing ?? 0);
}

function nameOf({ key, kind, bytes, storedAt }: FoundItem): string {
  const facts = [
    kind === 'multipart' ? 'multipart upload' : `${bytes} bytes`,
    ...(storedAt === null ? [] : [storedAt]),
  ];
  return `${key} (${facts.join(', ')})`;
}

function tableOf(rows: readonly Row[]): string[] {
  return rows.map(([label, count]) => `  ${label.padEnd(34)}${count}`);
}
