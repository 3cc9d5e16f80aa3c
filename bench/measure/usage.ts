import {
  cpuSecsOf,
  diskBytesWrittenBy,
  peakResidentBytesOf,
  resetPeakResidentBytes,
  residentBytesOf,
} from './process-tree.ts';

/** What a server has used while something was done to it. */
export interface Usage {
  readonly cpuSecs: number;
  /** Of the database server that it works with, which is not part of its tree; null: it has none of its own. */
  readonly databaseCpuSecs: number | null;
  readonly wallSecs: number;
  /** The higher of the root process's own high-water mark and the whole tree's highest sample. */
  readonly peakBytes: number;
  readonly diskBytes: number;
}

const SAMPLE_MS = 100;

/** @param databasePid null: the server keeps no database outside its process tree */
export async function measureUsage<T>(
  pid: number,
  databasePid: number | null,
  work: () => Promise<T>,
): Promise<{ result: T; usage: Usage }> {
  let highestBytes = 0;
  const sample = () => {
    highestBytes = Math.max(highestBytes, residentBytesOf(pid));
  };
  const databaseCpuSecs = () => (databasePid === null ? null : cpuSecsOf(databasePid));
  resetPeakResidentBytes(pid);
  const before = { cpuSecs: cpuSecsOf(pid), databaseCpuSecs: databaseCpuSecs(), diskBytes: diskBytesWrittenBy(pid) };
  const startedMs = performance.now();
  const timer = setInterval(sample, SAMPLE_MS);
  try {
    const result = await work();
    const wallSecs = (performance.now() - startedMs) / 1000;
    sample();
    const after = { cpuSecs: cpuSecsOf(pid), databaseCpuSecs: databaseCpuSecs() };
    return {
      result,
      usage: {
        cpuSecs: after.cpuSecs - before.cpuSecs,
        databaseCpuSecs: after.databaseCpuSecs === null ? null : after.databaseCpuSecs - (before.databaseCpuSecs ?? 0),
        wallSecs,
        peakBytes: Math.max(highestBytes, peakResidentBytesOf(pid)),
        diskBytes: diskBytesWrittenBy(pid) - before.diskBytes,
      },
    };
  } finally {
    clearInterval(timer);
  }
}
