/**
 * One at a time among the processes of a machine that share a folder: SQLite's exclusive lock on an empty file, as for the
 * data folder (data-dir-lock.ts). The kernel lets go of it when its holder ends, however it ends.
 */
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';

const SQLITE_BUSY = 5;
const ASK_AGAIN_MS = 200;

export class MachineLock {
  readonly #path: string;

  /** @param path of a file that nobody else opens, in a folder that is there */
  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Waits until nobody else has it, in this process or another.
   *
   * @returns lets go of it
   * @throws the signal's reason, and SQLite's error where the file cannot be made
   */
  async take(signal: AbortSignal): Promise<() => void> {
    for (;;) {
      signal.throwIfAborted();
      const handle = this.#tryToTake();
      if (handle !== null) return () => handle.close();
      await sleep(ASK_AGAIN_MS, undefined, { signal }).catch(() => {});
    }
  }

  #tryToTake(): DatabaseSync | null {
    const handle = new DatabaseSync(this.#path);
    try {
      handle.exec('BEGIN EXCLUSIVE');
      return handle;
    } catch (error) {
      handle.close();
      if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) return null;
      throw error;
    }
  }
}
