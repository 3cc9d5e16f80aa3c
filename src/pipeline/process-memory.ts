import { readFile } from 'node:fs/promises';

/** How often a process is looked at: a decoder takes some 100 MB in this time, at the most. */
const WATCH_EVERY_MS = 50;

/** @returns bytes of memory that the process has now; null where the system does not say (only Linux does), or it is gone */
export async function residentBytes(pid: number): Promise<number | null> {
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kib === undefined ? null : Number(kib) * 1024;
  } catch {
    return null;
  }
}

/**
 * Looks at a process's memory again and again, until it is told to stop.
 *
 * @param onExceeded called once
 * @returns ends the watch
 */
export function watchMemory(pid: number, limitBytes: number, onExceeded: () => void): () => void {
  let isLooking = false;
  const look = async () => {
    if (isLooking) return;
    isLooking = true;
    const bytes = await residentBytes(pid);
    isLooking = false;
    if (bytes === null || bytes <= limitBytes || stopped) return;
    stop();
    onExceeded();
  };
  let stopped = false;
  const timer = setInterval(() => void look(), WATCH_EVERY_MS).unref();
  const stop = () => {
    stopped = true;
    clearInterval(timer);
  };
  void look();
  return stop;
}
