import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const START_MS = 60_000;
const POLL_MS = 50;

/** The real server as a process of its own, which a test can kill and start again on the same data and port. */
export class PageServer {
  readonly port: number;
  readonly #env: Record<string, string>;
  #process: ChildProcess | null = null;
  #output = '';

  constructor(port: number, dataDir: string, env: Record<string, string>) {
    this.port = port;
    this.#env = { PORT: String(port), DEV_S3_PORT: '0', DATA_DIR: dataDir, PART_BYTES: '5MiB', ...env };
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, ['src/main.ts'], {
      cwd: ROOT,
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...this.#env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text;
      });
    }
    const deadline = Date.now() + START_MS;
    while (!(await this.#isReady())) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(`the server did not start:\n${this.#output}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** As a power cut of the process: no signal handler runs. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  async #isReady(): Promise<boolean> {
    try {
      return (await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(2_000) })).ok;
    } catch {
      return false;
    }
  }
}

/** @param env on top of a small part size and free ports */
export async function startPageServer(t: TestContext, env: Record<string, string> = {}): Promise<PageServer> {
  const dataDir = await mkdtemp(join(tmpdir(), 'page-test-data-'));
  const server = new PageServer(await freePort(), dataDir, env);
  t.after(async () => {
    await server.kill();
    await rm(dataDir, { recursive: true, force: true, maxRetries: 3 });
  });
  await server.start();
  return server;
}

/** A port that nobody uses now: the server has to come back on the one it had, so it cannot take any. */
async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, 'close');
  return port;
}
