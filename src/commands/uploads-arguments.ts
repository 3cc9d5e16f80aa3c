import { UPLOADS_REQUEST, type UploadsRequest } from '../app/operations.ts';
import { parseCommandLine } from './parse-command-line.ts';
import { UsageError } from './usage-error.ts';

export const UPLOADS_USAGE = `tus-relay uploads: what has become of uploads, and what to do about them.

Usage: npm run uploads [-- command] [options]

  list                   Those that need attention: completing for more than a minute, lost, failed. The default.
    --state STATE        Those in another state: open, completing, finished, terminated, expired, lost, failed, all.
    --limit N            At most so many, the newest first (100).
  show ID                All that is known of one.
  end ID                 Ends an unfinished upload: its client is told 410 and begins anew.
  retry ID               Tries the completion of one again, at once.
  acknowledge ID ...     Takes note of lost or failed ones: they are no alarm any more. --all: of all of them.

  --json                 Prints JSON.
  --help                 Says this.

Settings come from the environment, as the server's do. A server that holds the data folder is asked.
`;

export interface UploadsArguments {
  request: UploadsRequest;
  json: boolean;
}

/** @throws UsageError */
export function readUploadsArguments(args: string[]): UploadsArguments | 'help' {
  const { values, positionals } = parseCommandLine({
    args,
    allowPositionals: true,
    options: {
      state: { type: 'string' },
      limit: { type: 'string' },
      all: { type: 'boolean' },
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return 'help';
  const [command = 'list', ...ids] = positionals;
  const wish = wishOf(command, ids, values);
  const { success, data, error } = UPLOADS_REQUEST.safeParse(wish);
  if (!success) throw new UsageError(problemOf(command, error.issues[0]?.path.join('.') ?? '', values, ids));
  return { request: data, json: values.json ?? false };
}

interface Values {
  state?: string;
  limit?: string;
  all?: boolean;
  json?: boolean;
  help?: boolean;
}

function wishOf(command: string, ids: string[], { state, limit, all }: Values): object {
  if (all && command !== 'acknowledge') throw new UsageError('--all goes with acknowledge');
  if ((state !== undefined || limit !== undefined) && command !== 'list') {
    throw new UsageError('--state and --limit go with list');
  }
  switch (command) {
    case 'list':
      if (ids.length > 0) throw new UsageError(`list takes no ids; to look at one: show ${ids[0]}`);
      return { action: 'list', filter: state ?? 'attention', limit: Number(limit ?? 100) };
    case 'show':
    case 'end':
    case 'retry':
      if (ids.length !== 1) throw new UsageError(`${command} takes the id of one upload, found ${ids.length}`);
      return { action: command, uploadId: ids[0]?.toLowerCase() };
    case 'acknowledge':
      if ((all === true) === ids.length > 0) throw new UsageError('acknowledge takes ids of uploads, or --all');
      return { action: 'acknowledge', uploadIds: all ? null : ids.map((id) => id.toLowerCase()) };
    default:
      throw new UsageError(`there is no command ${JSON.stringify(command)}`);
  }
}

function problemOf(command: string, field: string, { state, limit }: Values, ids: string[]): string {
  if (field === 'filter') return `--state: expected one of the states, found ${JSON.stringify(state)}`;
  if (field === 'limit') return `--limit: expected a number from 1 to 10000, found ${JSON.stringify(limit)}`;
  return `${command}: expected ids of uploads (UUIDs, at most 1000), found ${JSON.stringify(ids.join(' '))}`;
}
