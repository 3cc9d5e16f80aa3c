import { type CommandResult, runCommand } from './run-command.ts';

/** `npm run sweep -- …`, without npm. */
export function runSweepCommand(env: Record<string, string>, ...args: string[]): Promise<CommandResult> {
  return runCommand('src/commands/sweep.ts', env, args);
}
