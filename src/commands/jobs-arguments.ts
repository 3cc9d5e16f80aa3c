import { JOBS_REQUEST, type JobsRequest } from '../app/operations.ts';
import { QUEUES } from '../pipeline/queues.ts';
import { parseCommandLine } from './parse-command-line.ts';
import { UsageError } from './usage-error.ts';

const QUEUE_NAMES = Object.values(QUEUES).join(', ');

export const JOBS_USAGE = `tus-relay jobs: the work that is still to be done behind uploads.

Usage: npm run jobs [-- command] [options]

  list             Jobs that wait, run or have failed for good, the oldest first. The default.
    --queue NAME   Of one queue: ${QUEUE_NAMES}.
    --limit N      At most so many (100).
  retry ID         A job that waits for its next try, or has failed, may run at once.
  discard ID       Removes a job that is not running. Completions come back: the sweeper sees to every upload.

  --json           Prints JSON.
  --help           Says this.

Settings come from the environment, as the server's do. A server that holds the data folder is asked.
`;

export interface JobsArguments {
  request: JobsRequest;
  json: boolean;
}

/** @throws UsageError */
export function readJobsArguments(args: string[]): JobsArguments | 'help' {
  const { values, positionals } = parseCommandLine({
    args,
    allowPositionals: true,
    options: {
      queue: { type: 'string' },
      limit: { type: 'string' },
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return 'help';
  const [command = 'list', ...ids] = positionals;
  const { success, data, error } = JOBS_REQUEST.safeParse(wishOf(command, ids, values));
  if (success) return { request: data, json: values.json ?? false };
  const field = error.issues[0]?.path.join('.');
  if (field === 'queue') {
    throw new UsageError(`--queue: expected one of ${QUEUE_NAMES}, found ${JSON.stringify(values.queue)}`);
  }
  if (field === 'limit') {
    throw new UsageError(`--limit: expected a number from 1 to 10000, found ${JSON.stringify(values.limit)}`);
  }
  throw new UsageError(`${command}: expected the id of a job (a UUID), found ${JSON.stringify(ids.join(' '))}`);
}

interface Values {
  queue?: string;
  limit?: string;
  json?: boolean;
  help?: boolean;
}

function wishOf(command: string, ids: string[], { queue, limit }: Values): object {
  if ((queue !== undefined || limit !== undefined) && command !== 'list') {
    throw new UsageError('--queue and --limit go with list');
  }
  switch (command) {
    case 'list':
      if (ids.length > 0) throw new UsageError('list takes no ids');
      return { action: 'list', queue: queue ?? null, limit: Number(limit ?? 100) };
    case 'retry':
    case 'discard':
      if (ids.length !== 1) throw new UsageError(`${command} takes the id of one job, found ${ids.length}`);
      return { action: command, jobId: ids[0]?.toLowerCase() };
    default:
      throw new UsageError(`there is no command ${JSON.stringify(command)}`);
  }
}
