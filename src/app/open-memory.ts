/** The memory that the bytes of all uploads share, and the folder that takes what does not fit into it. */
import type { Config } from '../config.ts';
import { StartError } from '../errors.ts';
import type { Logger } from '../observability/logger.ts';
import { systemClock } from '../relay/clock.ts';
import { MemoryBudget } from '../relay/memory-budget.ts';
import { openSpillStore, type SpillStore } from '../relay/spill-store.ts';

/** @throws StartError when the folder cannot be written */
export async function openMemory(config: Config, logger: Logger): Promise<MemoryBudget> {
  const { bufferBytes, partBytes, spillDir } = config;
  const spillStore = await openSpillFolder(spillDir, logger);
  const budget = new MemoryBudget(bufferBytes, partBytes, spillStore, systemClock.now);
  if (budget.alwaysSpills(partBytes)) {
    logger.warn(
      { partBytes, bufferBytes },
      'PART_BYTES is more than a quarter of BUFFER_BYTES: every part goes to a file',
    );
  }
  return budget;
}

async function openSpillFolder(dir: string, logger: Logger): Promise<SpillStore> {
  try {
    return await openSpillStore(dir, {
      capBytes: null,
      now: systemClock.now,
      onFailure: (error) => logger.warn({ err: error }, 'bytes could not be written to SPILL_DIR; they stay in memory'),
    });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new StartError(`SPILL_DIR ${dir} cannot be written: ${code}`, { cause: error });
  }
}
