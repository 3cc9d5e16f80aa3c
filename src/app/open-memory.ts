/** The memory that the bytes of all uploads share, and the folder that takes what does not fit into it. */
import type { Config } from '../config.ts';
import { StartError } from '../errors.ts';
import { explainFileProblem } from '../file-problem.ts';
import type { Logger } from '../observability/logger.ts';
import { systemClock } from '../relay/clock.ts';
import { type DiskFigures, lookAtDisk, roomOn } from '../relay/disk-room.ts';
import { MemoryBudget } from '../relay/memory-budget.ts';
import { openSpillStore, SpillLimitError, type SpillStore } from '../relay/spill-store.ts';

/** @throws StartError when the folder cannot be written */
export async function openMemory(config: Config, logger: Logger): Promise<MemoryBudget> {
  const { bufferBytes, partBytes, spillDir, spillBytes } = config;
  const spillStore = await openSpillFolder(spillDir, spillBytes, logger);
  const budget = new MemoryBudget(bufferBytes, partBytes, spillStore, systemClock.now);
  if (budget.alwaysSpills(partBytes)) {
    logger.warn(
      { partBytes, bufferBytes },
      'PART_BYTES is more than a quarter of BUFFER_BYTES: every part goes to a file',
    );
  }
  return budget;
}

/** While spill files have all that they may have, the log says so this often. */
const TELL_LIMIT_EVERY_MS = 60_000;

async function openSpillFolder(dir: string, capBytes: number | null, logger: Logger): Promise<SpillStore> {
  try {
    const store = await openSpillStore(dir, {
      capBytes,
      lookAtDisk: () => lookAtDisk(dir),
      now: systemClock.now,
      onFailure: tellFailures(logger),
    });
    warnOfSmallDisk(await lookAtDisk(dir), capBytes, logger);
    return store;
  } catch (error) {
    throw new StartError(`SPILL_DIR ${dir} cannot be written: ${explainFileProblem(error)}`, { cause: error });
  }
}

function tellFailures(logger: Logger): (error: unknown) => void {
  let toldAtMs = Number.NEGATIVE_INFINITY;
  return (error) => {
    if (!(error instanceof SpillLimitError)) {
      logger.warn({ err: error }, 'bytes could not be written to SPILL_DIR; they stay in memory');
      return;
    }
    if (systemClock.now() - toldAtMs < TELL_LIMIT_EVERY_MS) return;
    toldAtMs = systemClock.now();
    logger.warn({ err: error }, 'SPILL_DIR holds all that it may (SPILL_BYTES): uploads wait, or go to S3 in pieces');
  };
}

function warnOfSmallDisk(disk: DiskFigures, capBytes: number | null, logger: Logger): void {
  if (capBytes === null && roomOn(disk) === 0) {
    logger.warn(disk, 'the disk of SPILL_DIR has less than a tenth, or 1 GiB, free: nothing goes there until it has');
  }
  if (capBytes !== null && capBytes > disk.freeBytes) {
    logger.warn({ ...disk, spillBytes: capBytes }, 'SPILL_BYTES is more than the disk of SPILL_DIR has free');
  }
}
