/** What a process and its descendants have used, as /proc tells it (Linux only). */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** USER_HZ: what /proc counts CPU time in. It is 100 on every architecture that Node runs on. */
const TICKS_A_SEC = 100;

/** @returns user and system time; descendants that have ended count as soon as their parent has waited for them */
export function cpuSecsOf(rootPid: number): number {
  let ticks = 0;
  for (const pid of treeOf(rootPid)) {
    const fields = statOf(pid);
    // utime, stime, cutime, cstime: fields 14 to 17 of proc(5), the first after the name being field 3.
    for (const field of fields?.slice(11, 15) ?? []) ticks += Number(field);
  }
  return ticks / TICKS_A_SEC;
}

/**
 * `write_bytes`: pages of files that were dirtied for a disk. Sockets do not count, nor does a tmpfs; files that are
 * deleted before they reach the disk do, since the kernel may write them at any moment.
 */
export function diskBytesWrittenBy(rootPid: number): number {
  return sum(treeOf(rootPid), (pid) => numberOf(read(pid, 'io'), /^write_bytes: (\d+)/m));
}

/** Resident memory of the tree at this moment; pages that processes share count for each. */
export function residentBytesOf(rootPid: number): number {
  return sum(treeOf(rootPid), (pid) => numberOf(read(pid, 'status'), /^VmRSS:\s+(\d+) kB/m) * 1024);
}

/** The kernel's own high-water mark of one process: misses no peak, however short. */
export function peakResidentBytesOf(pid: number): number {
  return numberOf(read(pid, 'status'), /^VmHWM:\s+(\d+) kB/m) * 1024;
}

export function resetPeakResidentBytes(rootPid: number): void {
  for (const pid of treeOf(rootPid)) writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

function treeOf(rootPid: number): number[] {
  const pids = [rootPid];
  for (const pid of pids) pids.push(...childrenOf(pid));
  return pids;
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
      const pids = read(pid, `task/${thread}/children`);
      return pids === null ? [] : pids.split(' ').filter(Boolean).map(Number);
    });
  } catch {
    return []; // it has ended
  }
}

/** @returns the fields behind the name, which may itself hold spaces and brackets */
function statOf(pid: number): string[] | undefined {
  const text = read(pid, 'stat');
  return text?.slice(text.lastIndexOf(')') + 2).split(' ');
}

/** @returns null when the process has ended */
function read(pid: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return null;
  }
}

function numberOf(text: string | null, pattern: RegExp): number {
  return Number(text?.match(pattern)?.[1] ?? 0);
}

function sum(pids: number[], value: (pid: number) => number): number {
  return pids.reduce((total, pid) => total + value(pid), 0);
}
