/** The command line: reads arguments and environment, starts the server, and ends it when a signal asks for that. */
import cluster from 'node:cluster';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import type { Registry } from 'prom-client';
import pkg from '../package.json' with { type: 'json' };
import { type ServerReport, WORKER_NUMBER, type WorkerMessage } from './app/workers-messages.ts';
import { WorkerMetrics } from './app/workers-metrics.ts';
import { superviseWorkers } from './app/workers-primary.ts';
import { type RunningServer, realParts, startServer } from './app.ts';
import { type Config, loadConfig, type Secrets, variables } from './config.ts';
import { isLoopbackHost } from './config-checks.ts';
import { StartError, UnavailableError } from './errors.ts';
import { countBuffersInHeapLimit, growHeapSlowly } from './observability/heap-settings.ts';
import { createLogger, type Logger } from './observability/logger.ts';

/** npm hands on the signal that a terminal gave to it and to us: two signals that close are one wish. */
const SAME_WISH_MS = 1_000;
/** What closing may take beyond DRAIN_SECS before the process ends anyway: nothing is lost by that (V1). */
const CLOSE_MS = 20_000;
/** What the primary allows its workers beyond that. */
const WORKER_EXIT_MS = 5_000;

await main(process.argv.slice(2));

async function main(args: string[]): Promise<void> {
  const wish = readArguments(args);
  if (wish !== 'start') {
    process.stdout.write(wish === 'version' ? `${pkg.version}\n` : help());
    return;
  }
  // Until there is something to close, a signal just ends the process, also where it is pid 1 of a container.
  const endAtOnce = (signal: NodeJS.Signals) => process.exit(signal === 'SIGINT' ? 130 : 143);
  process.on('SIGINT', endAtOnce).on('SIGTERM', endAtOnce);
  const handOverSignals = () => process.off('SIGINT', endAtOnce).off('SIGTERM', endAtOnce);
  countBuffersInHeapLimit();
  growHeapSlowly();
  try {
    const { config, secrets, warnings } = loadConfig(process.env);
    const workerNumber = cluster.isWorker ? Number(process.env[WORKER_NUMBER]) : null;
    const logger = createLogger(config.logLevel, undefined, {
      node: `${hostname()}:${process.pid}`,
      ...(workerNumber === null ? {} : { worker: workerNumber }),
    });
    endOnUncaughtErrors(logger);
    if (workerNumber === null) for (const warning of warnings) logger.warn(warning);
    if (config.workers > 1 && workerNumber === null) {
      handOverSignals();
      process.exit(await runPrimary(config, logger));
    }
    await serve(config, secrets, logger, workerNumber, handOverSignals);
  } catch (error) {
    process.stderr.write(`tus-relay: ${explainFailedStart(error)}\n`);
    process.exit(1);
  }
}

function runPrimary(config: Config, logger: Logger): Promise<number> {
  return superviseWorkers({
    workers: config.workers,
    stopWithinMs: config.drainSecs * 1_000 + CLOSE_MS + WORKER_EXIT_MS,
    logger,
    onReady: (report) => tellReady(report, config, logger),
  });
}

/** @param workerNumber null: there is no primary above us */
async function serve(
  config: Config,
  secrets: Secrets,
  logger: Logger,
  workerNumber: number | null,
  handOverSignals: () => void,
): Promise<void> {
  const parts = workerNumber === null ? realParts : { ...realParts, shareMetrics: workerMetrics(workerNumber) };
  const server = await startServer(config, secrets, logger, parts);
  handOverSignals();
  closeOnSignals(server, logger, config.drainSecs * 1_000 + CLOSE_MS);
  const { addresses, dataDir } = server;
  if (workerNumber === null) tellReady({ addresses, dataDir }, config, logger);
  else process.send?.({ type: 'tus-relay:ready', report: { addresses, dataDir } } satisfies WorkerMessage);
}

function workerMetrics(workerNumber: number): (registry: Registry) => WorkerMetrics {
  return (registry) => new WorkerMetrics(registry, workerNumber);
}

function tellReady(report: ServerReport, config: Config, logger: Logger): void {
  process.stdout.write(banner(report, config));
  logger.info({ version: pkg.version, ...publicAddresses(report) }, 'ready');
}

function readArguments(args: string[]): 'start' | 'help' | 'version' {
  try {
    const { values } = parseArgs({
      args,
      options: { help: { type: 'boolean', short: 'h' }, version: { type: 'boolean', short: 'v' } },
    });
    if (values.help) return 'help';
    return values.version ? 'version' : 'start';
  } catch (error) {
    process.stderr.write(`tus-relay: ${error instanceof Error ? error.message : String(error)}\n\n${help()}`);
    process.exit(2);
  }
}

function help(): string {
  const lines = Object.entries(variables).map(([name, variable]) => {
    const { preset, about } = variable.meta() as { preset?: string; about: string };
    return `  ${name.padEnd(24)}${about.replaceAll('`', '')}${preset === undefined ? '' : ` (${preset})`}`;
  });
  return [
    'tus-relay: a resumable-upload server, tus in, S3 out.',
    '',
    'Usage: tus-relay [--help] [--version]',
    '',
    'All settings come from the environment:',
    ...lines,
    '',
  ].join('\n');
}

/** One sentence for the operator; only what nobody foresaw keeps its stack. */
function explainFailedStart(error: unknown): string {
  if (error instanceof StartError || error instanceof UnavailableError) return error.message;
  return `cannot start: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}

function banner({ addresses, dataDir }: ServerReport, { host, workers }: Config): string {
  const { embeddedS3 } = addresses;
  const rows: [string, string][] = [
    ['Page', addresses.page],
    ...addresses.otherPages.map((page): [string, string] => ['', page]),
    ['tus endpoint', addresses.tus],
    ['S3', embeddedS3 === null ? addresses.s3 : `${addresses.s3}  (embedded, development only)`],
  ];
  if (embeddedS3 !== null) {
    rows.push(['  bucket', embeddedS3.bucket]);
    rows.push(['  access key', embeddedS3.accessKeyId]);
    // Where others reach the server, its output is kept somewhere, and read by more than whoever sits before it.
    const shown = isLoopbackHost(host) ? embeddedS3.secretAccessKey : 'in s3/credentials.json of the data folder';
    rows.push(['  secret key', shown]);
  }
  rows.push(['Database', addresses.database]);
  if (dataDir !== null) rows.push(['Data', dataDir]);
  if (workers > 1) rows.push(['Workers', String(workers)]);
  const lines = rows.map(([name, value]) => `  ${name.padEnd(14)}${value}`);
  return `\ntus-relay ${pkg.version}\n\n${lines.join('\n')}\n\n`;
}

function publicAddresses({ addresses }: ServerReport): object {
  const { page, otherPages, tus, s3 } = addresses;
  return { page, ...(otherPages.length > 0 ? { otherPages } : {}), tus, s3 };
}

function closeOnSignals(server: RunningServer, logger: Logger, limitMs: number): void {
  let firstMs: number | null = null;
  const onSignal = async (signal: NodeJS.Signals) => {
    if (firstMs !== null) {
      if (performance.now() - firstMs < SAME_WISH_MS) return;
      logger.warn({ signal }, 'second signal: ending at once');
      process.exit(1);
    }
    firstMs = performance.now();
    logger.info({ signal }, 'shutting down');
    setTimeout(() => {
      logger.error('the shutdown did not end in time');
      process.exit(1);
    }, limitMs);
    try {
      await server.close();
      logger.info('closed');
      process.exit(0);
    } catch (error) {
      logger.error({ err: error }, 'the shutdown failed');
      process.exit(1);
    }
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
}

/** Nothing is lost when the process ends (V1, V3); a process in an unknown state could lose something. */
function endOnUncaughtErrors(logger: Logger): void {
  process.on('uncaughtException', (error, origin) => {
    logger.fatal({ err: error, origin }, 'an error that nobody handles');
    process.exit(1);
  });
}
