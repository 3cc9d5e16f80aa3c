import { parseArgs } from 'node:util';
import { UsageError } from './usage-error.ts';

export const CHECK_USAGE = `tus-relay s3:check: tries the bucket for everything that the server needs.

Usage: npm run s3:check [-- options]

  --origin URL   Pages of this origin upload directly to the bucket: then presigned URLs and CORS are needed, too. May be
                 given more than once.
  --help         Says this.

Settings come from the environment, as the server's do. Everything happens under a prefix of its own, which is removed.
Ends with 1 when something that is needed does not work.
`;

export const BOOTSTRAP_USAGE = `tus-relay s3:bootstrap: makes a bucket ready. The server itself never changes one.

Usage: npm run s3:bootstrap -- --create | --origin URL [...]

  --create       Creates S3_BUCKET when it is not there.
  --origin URL   Lets pages of this origin upload directly (CORS). May be given more than once, or be *. Rules of other
                 makers that the bucket has are kept.
  --help         Says this.

Settings come from the environment, as the server's do. Ends with 1 when something has to be done by hand; it says what.
`;

/** @returns 'help' when that was asked for */
export function readCheckArguments(args: string[]): { origins: string[] } | 'help' {
  const values = parse(args, { origin: { type: 'string', multiple: true }, help: { type: 'boolean', short: 'h' } });
  if (values.help) return 'help';
  return { origins: readOrigins(values.origin) };
}

/** @returns 'help' when that was asked for */
export function readBootstrapArguments(args: string[]): { create: boolean; origins: string[] } | 'help' {
  const values = parse(args, {
    create: { type: 'boolean' },
    origin: { type: 'string', multiple: true },
    help: { type: 'boolean', short: 'h' },
  });
  if (values.help) return 'help';
  const [create, origins] = [values.create === true, readOrigins(values.origin, true)];
  if (!create && origins.length === 0)
    throw new UsageError('expected --create, --origin or both: nothing was asked for');
  return { create, origins };
}

/** @throws UsageError */
function parse<const T extends NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>['options']>>(
  args: string[],
  options: T,
) {
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function readOrigins(values: string[] = [], anyAllowed = false): string[] {
  return values.map((value) => {
    if (anyAllowed && value === '*') return value;
    const origin = value.replace(/\/$/, '').toLowerCase();
    if (/^https?:/.test(origin) && URL.parse(origin)?.origin === origin) return origin;
    throw new UsageError(`--origin: expected an origin like https://app.example.com, found ${JSON.stringify(value)}`);
  });
}
