/** A real server as a child process of a test: started, waited for, stopped by its process id. */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

const READY_WITHIN_MS = 60_000;
const POLL_MS = 25;
/** How long a polite signal is given before the process is killed. */
const STOP_WITHIN_MS = 15_000;
const KEPT_OUTPUT = 8_000;

export interface ChildOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Runs the program as another user; only root can. */
  uid?: number;
  gid?: number;
  /** Asked again and again until it is true; a rejection counts as "not yet". */
  isReady: () => Promise<boolean>;
}

export interface ChildService {
  readonly pid: number;
  /** The last of what the program wrote, for messages of failing tests. */
  output(): string;
  signal(signal: NodeJS.Signals): void;
  /** Sends the signal, waits for the end, and kills what does not end. Safe to call twice. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Those still running when the test process ends without having stopped them. */
const running = new Set<ChildProcess>();

function killTheRest(): void {
  for (const child of running) child.kill('SIGKILL');
}

/** @throws Error with the program's last words when it ends, or does not become ready in time */
export async function startChild(command: string, args: string[], options: ChildOptions): Promise<ChildService> {
  const { isReady, ...spawnOptions } = options;
  const child = spawn(command, args, { ...spawnOptions, stdio: ['ignore', 'pipe', 'pipe'] });
  const written = keepOutput(child);
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  if (running.size === 0) process.once('exit', killTheRest);
  running.add(child);
  void ended.then(() => {
    running.delete(child);
    if (running.size === 0) process.off('exit', killTheRest);
  });
  const service: ChildService = {
    pid: child.pid ?? -1,
    output: written,
    signal: (signal) => {
      child.kill(signal);
    },
    stop: (signal = 'SIGTERM') => end(child, ended, signal),
  };
  try {
    await waitUntilReady(child, isReady);
  } catch (error) {
    await service.stop('SIGKILL');
    throw new Error(`${command} did not start: ${String(error)}\n${written()}`, { cause: error });
  }
  return service;
}

async function waitUntilReady(child: ChildProcess, isReady: () => Promise<boolean>): Promise<void> {
  let failure: unknown = null;
  child.once('error', (error) => {
    failure = error;
  });
  const deadline = Date.now() + READY_WITHIN_MS;
  while (Date.now() < deadline) {
    if (failure !== null) throw failure;
    if (hasEnded(child)) throw new Error(`it ended with ${child.exitCode ?? child.signalCode}`);
    if (await isReady().catch(() => false)) return;
    await sleep(POLL_MS);
  }
  throw new Error(`it was not ready after ${READY_WITHIN_MS} ms`);
}

async function end(child: ChildProcess, ended: Promise<void>, signal: NodeJS.Signals): Promise<void> {
  if (child.pid === undefined || hasEnded(child)) return;
  child.kill(signal);
  const lastResort = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
  await ended;
  clearTimeout(lastResort);
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function keepOutput(child: ChildProcess): () => string {
  let text = '';
  const keep = (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-KEPT_OUTPUT);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  return () => text;
}
