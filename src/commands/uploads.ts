/** `npm run uploads`. Ends with 0 when it was done, 1 when it was not, 2 when it was asked for what it cannot. */
import { loadConfig } from '../config.ts';
import { createLogger } from '../observability/logger.ts';
import { interruption } from './interruption.ts';
import { runCommand } from './run-command.ts';
import { runUploadsWhereItBelongs } from './run-operations.ts';
import { readUploadsArguments, UPLOADS_USAGE } from './uploads-arguments.ts';
import { describeUploads } from './uploads-text.ts';

process.exitCode = await runCommand('uploads', UPLOADS_USAGE, async () => {
  const given = readUploadsArguments(process.argv.slice(2));
  if (given === 'help') return 'help';
  const { request, json } = given;
  const { config, secrets } = loadConfig(process.env);
  // Standard output is the report's.
  const logger = createLogger(config.logLevel === 'info' ? 'warn' : config.logLevel, process.stderr);
  const report = await runUploadsWhereItBelongs({ config, secrets, logger, signal: interruption() }, request);
  process.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : describeUploads(request, report));
  return report.problem === null ? 0 : 1;
});
