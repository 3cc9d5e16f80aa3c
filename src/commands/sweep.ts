/** `npm run sweep`. Ends with 0 when all was done, 1 when something was not, 2 when it was asked for what it cannot. */
import { loadConfig } from '../config.ts';
import { StartError, UnavailableError } from '../errors.ts';
import { createLogger } from '../observability/logger.ts';
import { sweepWhereItBelongs } from './run-sweep.ts';
import { readSweepArguments, SWEEP_USAGE, UsageError } from './sweep-arguments.ts';
import { describeSweep, exitCodeOf } from './sweep-text.ts';

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  try {
    const request = readSweepArguments(args);
    if (request === 'help') {
      process.stdout.write(SWEEP_USAGE);
      return 0;
    }
    const { config, secrets } = loadConfig(process.env);
    // Standard output is the report's.
    const logger = createLogger(config.logLevel === 'info' ? 'warn' : config.logLevel, process.stderr);
    const report = await sweepWhereItBelongs(config, secrets, request, logger, interruption());
    process.stdout.write(describeSweep(report));
    return exitCodeOf(report);
  } catch (error) {
    process.stderr.write(`tus-relay sweep: ${explain(error)}\n`);
    if (!(error instanceof UsageError)) return 1;
    process.stderr.write(`\n${SWEEP_USAGE}`);
    return 2;
  }
}

/** The first signal ends the sweep where it is, the second the process. */
function interruption(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  return stop.signal;
}

/** One sentence for the operator; only what nobody foresaw keeps its stack. */
function explain(error: unknown): string {
  if (error instanceof StartError || error instanceof UnavailableError || error instanceof UsageError) {
    return error.message;
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
