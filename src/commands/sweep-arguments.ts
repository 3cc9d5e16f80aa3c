import type { SweepRequest } from '../app/sweep-parts.ts';
import { parseCommandLine } from './parse-command-line.ts';
import { UsageError } from './usage-error.ts';

export const SWEEP_USAGE = `tus-relay sweep: removes what uploads have left behind.

Usage: npm run sweep [-- options]

  --dry-run   Changes nothing; says what there is to do.
  --deep      Also lists everything under S3_KEY_PREFIX and removes what the catalog does not know and is older than a
              day. Refuses where the marker in the bucket does not name this catalog. Finished files without a record
              are never removed.
  --adopt     Only with --deep: this catalog is the one that all objects under the prefix belong to. Writes the marker,
              and makes records of finished files that have none.
  --list      Only with --deep: prints a line for each thing that is found, its columns divided by tabs: file, removed,
              young (too young to be removed) or missing; object or multipart; bytes; since when; key.
  --verify    Only with --deep: also asks S3 for the object of every file, one request each, and names those that are
              not there.
  --help      Says this.

Settings come from the environment, as the server's do. A server that holds the data folder is asked to sweep.
`;

/** @throws UsageError */
export function readSweepArguments(args: string[]): SweepRequest | 'help' {
  const { values } = parseCommandLine({
    args,
    options: {
      'dry-run': { type: 'boolean' },
      deep: { type: 'boolean' },
      adopt: { type: 'boolean' },
      list: { type: 'boolean' },
      verify: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return 'help';
  const { 'dry-run': dryRun = false, deep = false, adopt = false, list = false, verify = false } = values;
  for (const [name, wished] of Object.entries({ adopt, list, verify })) {
    if (wished && !deep) throw new UsageError(`--${name} is about the deep sweep: expected together with --deep`);
  }
  return { dryRun, deep, adopt, list, verify };
}
