import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SweepReport, SweepRequest } from '../../src/app/sweep-parts.ts';
import { readSweepArguments } from '../../src/commands/sweep-arguments.ts';
import { describeSweep, exitCodeOf, lineOf } from '../../src/commands/sweep-text.ts';
import { UsageError } from '../../src/commands/usage-error.ts';
import type { DeepSweepReport, FoundAs, FoundItem } from '../../src/relay/deep-sweep-report.ts';

const PLAIN = { dryRun: false, deep: false, adopt: false, list: false, verify: false };

test('the options of the sweep', () => {
  assert.deepEqual(readSweepArguments([]), PLAIN);
  assert.deepEqual(readSweepArguments(['--dry-run']), { ...PLAIN, dryRun: true });
  assert.deepEqual(readSweepArguments(['--deep', '--adopt', '--dry-run', '--list', '--verify']), {
    ...{ dryRun: true, deep: true, adopt: true, list: true, verify: true },
  });
  assert.equal(readSweepArguments(['--deep', '--help']), 'help');
});

test('what the sweep does not know is an error that names it', () => {
  for (const [args, message] of [
    [['--force'], /--force/],
    [['now'], /now/],
    [['--deep=yes'], /--deep/],
    [['--adopt'], /--adopt .*together with --deep/],
    [['--list'], /--list .*together with --deep/],
    [['--verify'], /--verify .*together with --deep/],
  ] as const) {
    assert.throws(
      () => readSweepArguments([...args]),
      (error) => error instanceof UsageError && message.test(error.message),
    );
  }
});

const counts = { expired: 1, adopted: 6, completionsResumed: 2, removed: 3, rechecked: 4, purged: 5 };
const item = (foundAs: FoundAs, key: string, kind: FoundItem['kind'] = 'object'): FoundItem => ({
  ...{ foundAs, key, kind, bytes: kind === 'object' ? 12 : null, storedAt: '2026-01-31T00:00:00.000Z' },
});
const deep: DeepSweepReport = {
  ...{ objectsListed: 1_000, objectsUnknown: 104, multipartsListed: 7, multipartsUnknown: 1 },
  ...{ files: 2, adopted: 0, leftovers: 102, removed: 102, young: 1, missing: null, refusal: null },
  named: [
    item('removed', 'uploads/one'),
    item('file', 'uploads/file'),
    item('removed', 'uploads/two', 'multipart'),
    item('young', 'uploads/young'),
  ],
};
const request: SweepRequest = { ...PLAIN, deep: true };
const report: SweepReport = { request, counts, deep, failures: [] };

test('a report says what was done, and the total', () => {
  const text = describeSweep(report);
  assert.match(text, /^Swept\.\n {2}uploads expired +1\n/);
  assert.match(text, /uploads found whole, and finished +6\n/);
  assert.match(text, /objects nobody knows +104\n/);
  assert.match(text, /finished files without a record +2\n +of these adopted now +0\n +leftovers to remove +102\n/);
  assert.match(text, /too young to be removed +1\n/);
  assert.match(text, / {2}2 finished files are kept without a record: with --adopt they get their records\n/);
  assert.match(
    text,
    / {2}leftovers:\n {4}uploads\/one \(12 bytes, 2026\S+\)\n {4}uploads\/two \(multipart upload, 2026\S+\)\n/,
  );
  assert.match(text, / {4}and 100 more \(--list names all\)\n/);
  assert.match(text, / {2}finished files without a record:\n {4}uploads\/file .*\n {4}and 1 more/);
  assert.match(text, / {2}too young to be removed:\n {4}uploads\/young /);
  assert.match(text, /\nTotal: 125\n$/);
  assert.doesNotMatch(text, /MinIO|without an object/);
});

test('a dry run says what would be adopted and removed, and what cannot be known about multipart uploads', () => {
  const dry = { ...report, request: { ...request, dryRun: true }, deep: { ...deep, multipartsListed: 0 } };
  const text = describeSweep(dry);
  assert.match(text, /^Dry run: nothing was changed\.\n/);
  assert.match(text, /would be adopted with --adopt +2\n +would be removed +102\n +too young to be removed +1\n/);
  assert.match(text, /MinIO/);
  assert.doesNotMatch(text, /removed by now|found whole|are kept/);
  const adopting = describeSweep({ ...dry, request: { ...dry.request, adopt: true } });
  assert.match(adopting, /would be adopted +2\n/);
});

test('a line of the list has everything in columns', () => {
  assert.equal(lineOf(item('file', 'uploads/a b')), 'file\tobject\t12\t2026-01-31T00:00:00.000Z\tuploads/a b\n');
  const unsaid = { ...item('young', 'uploads/x', 'multipart'), storedAt: null };
  assert.equal(lineOf(unsaid), 'young\tmultipart\t-\t-\tuploads/x\n');
});

test('the exit code is 1 when anything that was asked for was not done, or is not as it should be', () => {
  const good = { ...report, deep: { ...deep, files: 0 } };
  assert.equal(exitCodeOf(good), 0);
  assert.equal(exitCodeOf({ ...good, deep: null }), 0);
  assert.equal(exitCodeOf({ ...good, failures: ['S3 is away'] }), 1);
  assert.equal(exitCodeOf(report), 1, 'files are kept without a record');
  assert.equal(exitCodeOf({ ...report, request: { ...request, dryRun: true } }), 0, 'and a dry run only says so');
  assert.equal(exitCodeOf({ ...report, deep: { ...deep, adopted: 2 } }), 0);
  const missing = { ...good, deep: { ...good.deep, missing: 1, named: [item('missing', 'uploads/gone')] } };
  assert.equal(exitCodeOf(missing), 1);
  assert.match(
    describeSweep(missing),
    /files without an object +1\n[\s\S]*files whose object is not there:\n {4}uploads\/gone/,
  );
  const refused = { ...good, deep: { ...good.deep, objectsListed: 0, refusal: 'not this catalog’s bucket' } };
  assert.equal(exitCodeOf(refused), 1);
  assert.match(describeSweep(refused), /The deep sweep was refused: not this catalog’s bucket\n$/);
});
