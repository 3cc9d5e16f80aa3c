import { parseArgs } from 'node:util';
import type { SweepRequest } from '../app/sweep-parts.ts';
import { UsageError } from './usage-error.ts';

export const SWEEP_USAGE = `tus-relay sweep: removes what uploads have left behind.

Usage: npm run sweep [-- options]

  --dry-run   Changes nothing; says what there is to do.
  --deep      Also lists everything under S3_KEY_PREFIX and removes what the catalog does not know and is older than a
              day. Refuses where the marker in the bucket does not name this catalog.
  --adopt     Only with --deep: this catalog is the one that all objects under the prefix belong to. Writes the marker.
  --help      Says this.

Settings come from the environment, as the server's do. A server that holds the data folder is asked to sweep.
`;

/** @throws UsageError */
export function readSweepArguments(args: string[]): SweepRequest | 'help' {
  let values: { 'dry-run'?: boolean; deep?: boolean; adopt?: boolean; help?: boolean };
  try {
    ({ values } = parseArgs({
      args,
      options: {
        'dry-run': { type: 'boolean' },
        deep: { type: 'boolean' },
        adopt: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
  if (values.help) return 'help';
  const { 'dry-run': dryRun = false, deep = false, adopt = false } = values;
  if (adopt && !deep) throw new UsageError('--adopt is about the deep sweep: expected together with --deep');
  return { dryRun, deep, adopt };
}
