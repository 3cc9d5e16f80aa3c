/** `npm run bench`: our server and others on the same S3 server, in figures. `--help` says what can be chosen. */
import process from 'node:process';
import { choose, type Options, readOptions, USAGE } from './options.ts';
import type { Outcome } from './outcome.ts';
import { summarizeProfiles } from './profile-summary.ts';
import { conclusion, heading, scenarioTables } from './report.ts';
import { runBench } from './run-bench.ts';
import { scenarios } from './scenarios.ts';
import { SERVERS } from './servers/all-servers.ts';
import { startPostgres } from './services/postgres.ts';
import { startS3 } from './services/s3-service.ts';
import { Workshop } from './services/workshop.ts';

await main(process.argv.slice(2));

async function main(args: string[]): Promise<void> {
  if (args.includes('--help')) return print(USAGE);
  try {
    await run(readOptions(args));
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}

async function run(options: Options): Promise<void> {
  const kinds = choose('server', SERVERS, options.servers);
  const list = choose('scenario', scenarios(options.quick), options.scenarios);
  const workshop = new Workshop();
  const stop = (signal: NodeJS.Signals) => {
    say(`${signal}: stopping everything ...`);
    void workshop.close().finally(() => process.exit(130));
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    const s3 = await startS3(workshop, options.s3);
    const postgres = await startPostgres(workshop);
    print(heading(s3.name, options));
    const outcomes: Outcome[] = [];
    for await (const some of runBench({ workshop, s3, postgres, options, say }, kinds, list)) {
      // A full run takes long: what is known is shown.
      print(scenarioTables(some));
      outcomes.push(...some);
    }
    print(conclusion(outcomes, options));
    if (options.profileFolder !== null) print(summarizeProfiles(options.profileFolder));
    if (outcomes.some(({ problem }) => problem !== null)) process.exitCode = 1;
  } finally {
    await workshop.close();
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n\n`);
}

function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}
