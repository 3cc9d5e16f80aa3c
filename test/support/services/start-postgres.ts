import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chown, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { type ChildService, startChild } from './child-service.ts';
import { getProgram } from './find-program.ts';
import { onFreePort } from './free-port.ts';
import { makeTempFolder } from './temp-folder.ts';

const DEBIAN = '/usr/lib/postgresql';
const USER = 'relay';

/** fast: sessions are broken off and everything is written; immediate: as after a crash. */
export type PostgresStop = 'fast' | 'immediate';

const SIGNALS: Readonly<Record<PostgresStop, NodeJS.Signals>> = { fast: 'SIGINT', immediate: 'SIGQUIT' };

export interface PostgresServer {
  /** Of the database `postgres`. */
  readonly url: string;
  readonly port: number;
  /** @returns the URL of a new, empty database */
  createDatabase(name: string): Promise<string>;
  /** Ends the server; its data stays, and it can be started again on the same port. */
  down(mode?: PostgresStop): Promise<void>;
  up(): Promise<void>;
  restart(mode?: PostgresStop): Promise<void>;
  /** It keeps its connections, takes new ones, and answers nothing: a machine that hangs. */
  pause(): void;
  resume(): void;
  /** For good, with all its files. Safe to call twice. */
  stop(mode?: PostgresStop): Promise<void>;
}

/** Commits survive a crash of the server (synchronous_commit is on), not of the machine: nothing is synced to the disk. */
export async function startPostgres(): Promise<PostgresServer> {
  const folders = await debianFolders();
  const folder = await makeTempFolder('postgres');
  const dataDir = join(folder.path, 'data');
  const owner = unprivilegedUser();
  let port = 0;
  let server: ChildService;
  try {
    await mkdir(dataDir, { mode: 0o700 });
    if (owner !== null) for (const path of [folder.path, dataDir]) await chown(path, owner.uid, owner.gid);
    const initdb = ['-D', dataDir, '-U', USER, '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'];
    await promisify(execFile)(getProgram('initdb', folders), initdb, { ...owner, cwd: folder.path });
    server = await onFreePort((free) => {
      port = free;
      return launch(free);
    });
  } catch (error) {
    await folder.remove();
    throw error;
  }

  function launch(onPort: number): Promise<ChildService> {
    const settings = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'fsync=off', 'full_page_writes=off'];
    const args = ['-D', dataDir, '-p', String(onPort), ...settings.flatMap((it) => ['-c', it])];
    return startChild(getProgram('postgres', folders), args, {
      ...owner,
      cwd: folder.path,
      isReady: async () => {
        await runOnce(urlOf(onPort, 'postgres'), 'SELECT 1');
        return true;
      },
    });
  }

  /** The server first: it shall make no session that would not be paused. Sessions leave its process group. */
  const signalAll = (signal: NodeJS.Signals) => {
    server.signal(signal);
    const children = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8').split(' ');
    for (const pid of children.filter((it) => it !== '')) signalIfThere(Number(pid), signal);
  };
  let paused = false;
  const resume = () => {
    if (paused) signalAll('SIGCONT');
    paused = false;
  };
  const down = (mode: PostgresStop = 'fast') => {
    resume();
    return server.stop(SIGNALS[mode]);
  };
  const up = async () => {
    server = await launch(port);
  };
  return {
    url: urlOf(port, 'postgres'),
    port,
    createDatabase: async (name) => {
      await runOnce(urlOf(port, 'postgres'), `CREATE DATABASE ${pg.escapeIdentifier(name)}`);
      return urlOf(port, name);
    },
    down,
    up,
    restart: async (mode) => {
      await down(mode);
      await up();
    },
    pause: () => {
      paused = true;
      signalAll('SIGSTOP');
    },
    resume,
    stop: async (mode) => {
      await down(mode);
      await folder.remove();
    },
  };
}

function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // A session may end by itself meanwhile.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

function urlOf(port: number, database: string): string {
  return `postgres://${USER}@127.0.0.1:${port}/${database}`;
}

async function runOnce(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query(statement);
  } finally {
    await client.end().catch(() => {});
  }
}

/** Debian keeps the server's programs out of PATH, one folder a version; the newest first. */
export async function debianFolders(): Promise<string[]> {
  const versions = await readdir(DEBIAN).catch(() => []);
  return versions.sort((a, b) => Number(b) - Number(a)).map((version) => join(DEBIAN, version, 'bin'));
}

/** Postgres refuses to run as root. */
function unprivilegedUser(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  for (const name of ['postgres', 'nobody']) {
    try {
      const ask = (flag: string) => Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: 'pipe' }));
      return { uid: ask('-u'), gid: ask('-g') };
    } catch {
      // There is no such user: the next one.
    }
  }
  throw new Error('neither postgres nor nobody exists: there is no user to run Postgres as');
}
