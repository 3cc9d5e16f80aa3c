/**
 * One server at a time in a data folder. PGlite does not guard its files: a second process opens them too, and both
 * corrupt them.
 *
 * The lock is SQLite's own exclusive lock on an empty database file. The kernel holds it for the process and lets go
 * when the process ends, however it ends, so a killed server leaves nothing behind that would have to be recognised
 * as stale. (The kernel also lets go when the process closes any other handle of that file: nothing else may open it.)
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StartError } from '../errors.ts';
import { explainFileProblem } from '../file-problem.ts';
import { makeFolder } from '../make-folder.ts';

const SQLITE_BUSY = 5;

/** Another process of ours holds the folder. */
export class DataDirInUseError extends StartError {
  override readonly name = 'DataDirInUseError';
}

export interface DataDirLock {
  /** Absolute path of the guarded folder. */
  readonly dataDir: string;
  /** Safe to call twice. */
  release(): void;
}

/**
 * Makes the folder when it is not there, and takes it.
 *
 * @throws DataDirInUseError when another server holds it
 * @throws StartError when it cannot be written
 */
export function lockDataDir(dataDir: string): DataDirLock {
  const folder = resolve(dataDir);
  const lockFile = join(folder, 'server.lock');
  const pidFile = join(folder, 'server.pid');
  let handle: DatabaseSync;
  try {
    makeFolder(folder);
    handle = new DatabaseSync(lockFile);
  } catch (error) {
    throw notWritable(folder, error);
  }
  try {
    handle.exec('BEGIN EXCLUSIVE');
    writePid(pidFile);
  } catch (error) {
    handle.close();
    if (isBusy(error)) throw new DataDirInUseError(inUse(folder, readPid(pidFile)), { cause: error });
    throw notWritable(folder, error);
  }
  return {
    dataDir: folder,
    release() {
      if (!handle.isOpen) return;
      // While we still hold the lock: afterwards it might be the next server's.
      rmSync(pidFile, { force: true });
      handle.close();
    },
  };
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY;
}

/** Only a hint for the message of whoever comes second; whether the folder is taken is the lock's business. */
function writePid(pidFile: string): void {
  const fresh = `${pidFile}.${process.pid}`;
  writeFileSync(fresh, `${process.pid}\n`);
  renameSync(fresh, pidFile);
}

function readPid(pidFile: string): string | null {
  try {
    return /^\d+$/m.exec(readFileSync(pidFile, 'utf8'))?.[0] ?? null;
  } catch {
    return null;
  }
}

function inUse(folder: string, pid: string | null): string {
  return `the data folder ${folder} is in use by another tus-relay server${pid === null ? '' : ` (pid ${pid})`}`;
}

function notWritable(folder: string, error: unknown): StartError {
  return new StartError(`the data folder ${folder} cannot be written: ${explainFileProblem(error)}`, { cause: error });
}
