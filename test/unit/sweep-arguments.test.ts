import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSweepArguments } from '../../src/commands/sweep-arguments.ts';
import { describeSweep, exitCodeOf } from '../../src/commands/sweep-text.ts';
import { UsageError } from '../../src/commands/usage-error.ts';

test('the options of the sweep', () => {
  assert.deepEqual(readSweepArguments([]), { dryRun: false, deep: false, adopt: false });
  assert.deepEqual(readSweepArguments(['--dry-run']), { dryRun: true, deep: false, adopt: false });
  assert.deepEqual(readSweepArguments(['--deep', '--adopt', '--dry-run']), { dryRun: true, deep: true, adopt: true });
  assert.equal(readSweepArguments(['--deep', '--help']), 'help');
});

test('what the sweep does not know is an error that names it', () => {
  for (const [args, message] of [
    [['--force'], /--force/],
    [['now'], /now/],
    [['--deep=yes'], /--deep/],
    [['--adopt'], /together with --deep/],
  ] as const) {
    assert.throws(
      () => readSweepArguments([...args]),
      (error) => error instanceof UsageError && message.test(error.message),
    );
  }
});

const counts = { expired: 1, adopted: 6, completionsResumed: 2, removed: 3, rechecked: 4, purged: 5 };
const deep = {
  ...{ objectsListed: 1_000, objectsUnknown: 101, multipartsListed: 7, multipartsUnknown: 1, removed: 102 },
  named: ['uploads/one', 'uploads/two (multipart upload)'],
  refusal: null,
};

test('a report says what was done, and the total', () => {
  const text = describeSweep({ request: { dryRun: false, deep: true, adopt: false }, counts, deep, failures: [] });
  assert.match(text, /^Swept\.\n {2}uploads expired +1\n/);
  assert.match(text, /uploads found whole, and finished +6\n/);
  assert.match(text, /objects nobody knows +101\n/);
  assert.match(text, / {4}uploads\/one\n {4}uploads\/two \(multipart upload\)\n {4}and 100 more\n/);
  assert.match(text, /\nTotal: 123\n$/);
  assert.doesNotMatch(text, /MinIO/);
});

test('a dry run says so, and what cannot be known about multipart uploads', () => {
  const request = { dryRun: true, deep: true, adopt: false };
  const text = describeSweep({ request, counts, deep: { ...deep, multipartsListed: 0 }, failures: [] });
  assert.match(text, /^Dry run: nothing was changed\.\n/);
  assert.match(text, /MinIO/);
  assert.doesNotMatch(text, /removed by now|found whole/);
});

test('the exit code is 1 when anything that was asked for was not done', () => {
  const report = { request: { dryRun: false, deep: true, adopt: false }, counts, deep, failures: [] };
  assert.equal(exitCodeOf(report), 0);
  assert.equal(exitCodeOf({ ...report, deep: null }), 0);
  assert.equal(exitCodeOf({ ...report, failures: ['S3 is away'] }), 1);
  const refused = { ...report, deep: { ...deep, objectsListed: 0, refusal: 'not this catalog’s bucket' } };
  assert.equal(exitCodeOf(refused), 1);
  assert.match(describeSweep(refused), /The deep sweep was refused: not this catalog’s bucket\n$/);
});
