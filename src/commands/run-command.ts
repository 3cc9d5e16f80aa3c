/** What the commands have in common: arguments that are wrong end with 2, what fails with 1 and one sentence. */
import { StartError, UnavailableError } from '../errors.ts';
import { UsageError } from './usage-error.ts';

/**
 * @param name as it stands behind `npm run`
 * @param work @returns the exit code, or 'help' when it was asked for
 */
export async function runCommand(name: string, usage: string, work: () => Promise<number | 'help'>): Promise<number> {
  try {
    const code = await work();
    if (code !== 'help') return code;
    process.stdout.write(usage);
    return 0;
  } catch (error) {
    process.stderr.write(`tus-relay ${name}: ${explain(error)}\n`);
    if (!(error instanceof UsageError)) return 1;
    process.stderr.write(`\n${usage}`);
    return 2;
  }
}

/** One sentence for the operator; only what nobody foresaw keeps its stack. */
function explain(error: unknown): string {
  if (error instanceof StartError || error instanceof UnavailableError || error instanceof UsageError) {
    return error.message;
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
