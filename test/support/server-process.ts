/** The real server as a process of its own, which a test can kill and start again on the same data and the same port. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** A first start makes a database, on a machine that may be busy with other tests. */
const START_MS = 120_000;
const KEPT_OUTPUT = 200_000;

export interface ServerWishes {
  /** Path of the program from the project's folder. Left out: the server itself. */
  entry?: string;
  /** On top of a small part size, free ports and a folder of its own. */
  env?: Record<string, string>;
}

export interface Exit {
  /** null when a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** What the server prints of its embedded S3. */
export interface PrintedS3 {
  endpoint: string;
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
}

export class ServerProcess {
  readonly #entry: string;
  readonly #env: Record<string, string>;
  #child: ChildProcess | null = null;
  #exited: Promise<Exit> = Promise.resolve({ code: null, signal: null });
  #output = '';
  #port = 0;

  constructor(entry: string, env: Record<string, string>) {
    this.#entry = entry;
    this.#env = env;
  }

  /** The same after every start. */
  get port(): number {
    return this.#port;
  }

  /** For the next start. */
  wishPort(port: number): void {
    this.#port = port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** What all its processes have written, the last of it. */
  get output(): string {
    return this.#output;
  }

  get running(): boolean {
    const child = this.#child;
    return child !== null && child.exitCode === null && child.signalCode === null;
  }

  /** Of the process that was started last; for messages to it. */
  get child(): ChildProcess {
    if (this.#child === null) throw new Error('the server was never started');
    return this.#child;
  }

  /** Settles when the process that was started last has ended and everything that it wrote is here. */
  get exited(): Promise<Exit> {
    return this.#exited;
  }

  /** Comes back when the server says that it is ready. @throws Error with its last words when it ends instead */
  async start(): Promise<void> {
    const child = spawn(process.execPath, [this.#entry], {
      cwd: ROOT,
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...this.#env, PORT: String(this.#port) },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#child = child;
    this.#exited = once(child, 'close').then(([code, signal]) => ({ code, signal }));
    const banner = Promise.withResolvers<number>();
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-KEPT_OUTPUT);
        said += text;
        const port = /^ *Page +http:\/\/[^:]+:(\d+)\/$/m.exec(said)?.[1];
        if (port !== undefined) banner.resolve(Number(port));
      });
    }
    const timer = setTimeout(() => banner.reject(new Error(`the server did not start:\n${said}`)), START_MS);
    void this.#exited.then((exit) =>
      banner.reject(new Error(`the server ended with ${exit.code ?? exit.signal}:\n${said}`)),
    );
    try {
      this.#port = await banner.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** As the system does it that is out of memory: no signal handler runs. */
  async kill(): Promise<void> {
    if (this.running) this.child.kill('SIGKILL');
    await this.#exited;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    if (this.running) this.child.kill(signal);
    return this.#exited;
  }

  /** The embedded S3, as an operator reads it off the terminal. */
  printedS3(): PrintedS3 {
    const read = (pattern: RegExp) => {
      const found = [...this.#output.matchAll(pattern)].at(-1)?.[1];
      if (found === undefined) throw new Error(`the server did not print ${pattern}:\n${this.#output}`);
      return found;
    };
    return {
      endpoint: read(/^ *S3 +(http:\S+) /gm),
      bucket: read(/^ *bucket +(\S+)$/gm),
      accessKeyId: read(/^ *access key +(\S+)$/gm),
      secretAccessKey: read(/^ *secret key +(\S+)$/gm),
    };
  }

  /** What it logged at the levels of things that went wrong on our side. */
  loggedErrors(): string[] {
    return this.#output.split('\n').filter((line) => /^\{"level":"(error|fatal)"/.test(line));
  }
}

/** Not started yet. It is killed, and its data removed, when the test is over. */
export async function prepareServer(t: TestContext, wishes: ServerWishes = {}): Promise<ServerProcess> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tus-relay-server-'));
  const env = { DEV_S3_PORT: '0', DATA_DIR: dataDir, PART_BYTES: '5MiB', ...wishes.env };
  const server = new ServerProcess(wishes.entry ?? 'src/main.ts', env);
  t.after(async () => {
    await server.kill();
    await rm(dataDir, { recursive: true, force: true, maxRetries: 3 });
  });
  return server;
}

export async function startServerProcess(t: TestContext, wishes: ServerWishes = {}): Promise<ServerProcess> {
  const server = await prepareServer(t, wishes);
  await server.start();
  return server;
}
