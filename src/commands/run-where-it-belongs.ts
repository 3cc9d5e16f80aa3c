/**
 * Where a command works: in the server that holds the data folder, when there is one; else in this process. With Postgres
 * and a bucket of the operator's own nothing is held, and both may.
 */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { DataDirInUseError, type DataDirLock, lockDataDir } from '../catalog/data-dir-lock.ts';
import type { Config, Secrets } from '../config.ts';
import { StartError } from '../errors.ts';

/** A server that is starting holds the folder, and does not listen yet. */
const ASK_AGAIN_MS = 250;

/**
 * @param work.ask a server; null when none is running there
 * @param work.runHere with the lock of the data folder, which it releases; null: nothing is kept there
 * @throws StartError, UnavailableError: one sentence for the operator each
 */
export async function runWhereItBelongs<Report>(
  config: Config,
  secrets: Secrets,
  { ask, runHere }: { ask(): Promise<Report | null>; runHere(lock: DataDirLock | null): Promise<Report> },
): Promise<Report> {
  const keepsData = config.s3.kind === 'embedded' || secrets.databaseUrl === null;
  if (!keepsData) return runHere(null);
  if (!existsSync(config.dataDir)) {
    throw new StartError(`there is nothing to do: the data folder ${config.dataDir} does not exist`);
  }
  const until = performance.now() + config.startWaitSecs * 1_000;
  for (;;) {
    const report = await ask();
    if (report !== null) return report;
    try {
      return await runHere(lockDataDir(config.dataDir));
    } catch (error) {
      if (!(error instanceof DataDirInUseError) || performance.now() + ASK_AGAIN_MS >= until) throw error;
      await sleep(ASK_AGAIN_MS);
    }
  }
}
