/** `npm run sweep`. Ends with 0 when all was done, 1 when something was not, 2 when it was asked for what it cannot. */
import { once } from 'node:events';
import { loadConfig } from '../config.ts';
import { createLogger } from '../observability/logger.ts';
import type { FoundItem } from '../relay/deep-sweep-report.ts';
import { interruption } from './interruption.ts';
import { runCommand } from './run-command.ts';
import { sweepWhereItBelongs } from './run-sweep.ts';
import { readSweepArguments, SWEEP_USAGE } from './sweep-arguments.ts';
import { describeSweep, exitCodeOf, lineOf } from './sweep-text.ts';

process.exitCode = await runCommand('sweep', SWEEP_USAGE, async () => {
  const request = readSweepArguments(process.argv.slice(2));
  if (request === 'help') return 'help';
  const { config, secrets } = loadConfig(process.env);
  // Standard output is the report's.
  const logger = createLogger(config.logLevel === 'info' ? 'warn' : config.logLevel, process.stderr);
  const report = await sweepWhereItBelongs(config, secrets, request, logger, interruption(), printFound);
  process.stdout.write(describeSweep(report));
  return exitCodeOf(report);
});

async function printFound(item: FoundItem): Promise<void> {
  if (!process.stdout.write(lineOf(item))) await once(process.stdout, 'drain');
}
