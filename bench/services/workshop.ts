/** The processes and the temporary folder of one benchmark run: whatever ends the run, nothing of it stays behind. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface ProcessToStart<T> {
  /** For messages. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** All of it: nothing of our own environment is handed on but PATH, HOME and TMPDIR. */
  readonly env?: Readonly<Record<string, string>>;
  readonly options?: Pick<SpawnOptions, 'cwd' | 'uid' | 'gid'>;
  /** Looks at each line of output until one says that it is ready; null: not this one. */
  ready(line: string): T | null;
}

export interface RunningProcess<T> {
  readonly pid: number;
  readonly ready: T;
  /** What it wrote last, for whoever has to find out what went wrong. */
  lastLines(): readonly string[];
  /** SIGTERM, and SIGKILL when that is not enough. */
  stop(): Promise<void>;
}

const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 5_000;
const KEPT_LINES = 20;
/** The magic number of a tmpfs, statfs(2). */
const TMPFS = 0x01021994;

export class Workshop {
  /** Temporary folder of this run, on a disk where there is one: what goes to a tmpfs counts as memory, not as disk. */
  readonly folder: string;
  readonly #children = new Set<ChildProcess>();
  #isClosed = false;

  constructor() {
    const parent = statfsSync(tmpdir()).type === TMPFS ? '/var/tmp' : tmpdir();
    this.folder = mkdtempSync(join(parent, 'tus-relay-bench-'));
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  newFolder(name: string): string {
    return mkdtempSync(join(this.folder, `${name}-`));
  }

  /** @throws when it ends before it is ready, or takes longer than a minute; with the last lines that it wrote */
  async start<T>({
    name,
    command,
    args,
    env = {},
    options = {},
    ready,
  }: ProcessToStart<T>): Promise<RunningProcess<T>> {
    // Whoever is interrupted in the middle of its work may still try.
    if (this.#isClosed) throw new Error('the run is over');
    const child = spawn(command, args, {
      ...options,
      env: { PATH: process.env.PATH, HOME: process.env.HOME, TMPDIR: this.folder, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.keep(child);
    const lastLines: string[] = [];
    return new Promise((resolve, reject) => {
      const fail = (what: string) => {
        child.kill('SIGKILL');
        reject(new Error(`${name} ${what}\n${lastLines.join('\n')}`));
      };
      const timer = setTimeout(() => fail('was not ready after a minute'), START_LIMIT_MS);
      child.once('error', (error) => fail(`cannot be run: ${error.message}`));
      child.once('close', (code, signal) => {
        clearTimeout(timer);
        fail(`ended with ${signal ?? code}`); // of no consequence once it was ready
      });
      // Read to the end of its life, so that the pipes never fill up.
      for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream }).on('line', (line) => {
          if (lastLines.push(line) > KEPT_LINES) lastLines.shift();
          const found = ready(line);
          if (found === null || child.pid === undefined) return;
          clearTimeout(timer);
          resolve({ pid: child.pid, ready: found, lastLines: () => [...lastLines], stop: () => end(child) });
        });
      }
    });
  }

  /** A child process that was started in another way. */
  keep(child: ChildProcess): void {
    this.#children.add(child);
    child.once('close', () => this.#children.delete(child));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#children].map((child) => end(child)));
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
    child.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    child.kill('SIGTERM');
  });
}
