import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { Client } from 'pg';
import { freePort } from './free-port.ts';
import type { Workshop } from './workshop.ts';

/** A Postgres server of our own with its default settings, so with every commit synced to the disk. */
export interface PostgresService {
  readonly pid: number;
  readonly version: string;
  /** @returns the URL of a new, empty database */
  createDatabase(): Promise<string>;
}

const USER = 'bench';

/** @returns null when Postgres is not installed, or when we are root and there is nobody else to run it as */
export async function startPostgres(workshop: Workshop): Promise<PostgresService | null> {
  const binaries = findBinaries();
  const identity = unprivilegedIdentity();
  if (binaries === null || identity === null) return null;
  const folder = workshop.newFolder('postgres');
  if (identity.uid !== undefined && identity.gid !== undefined) {
    chmodSync(workshop.folder, 0o711);
    chownSync(folder, identity.uid, identity.gid);
  }
  const made = spawnSync(
    join(binaries, 'initdb'),
    ['-D', folder, '-U', USER, '--auth=trust', '--no-sync', '-E', 'UTF8'],
    {
      ...identity,
      cwd: folder,
      env: { PATH: process.env.PATH },
      encoding: 'utf8',
    },
  );
  if (made.status !== 0) throw new Error(`initdb: ${made.stderr}`);
  const port = await freePort();
  const { pid } = await workshop.start({
    name: 'postgres',
    command: join(binaries, 'postgres'),
    args: ['-D', folder, '-p', String(port), '-k', '', '-c', 'listen_addresses=127.0.0.1'],
    options: { ...identity, cwd: folder },
    ready: (line) => (line.includes('ready to accept connections') ? true : null),
  });
  const urlOf = (database: string) => `postgres://${USER}@127.0.0.1:${port}/${database}`;
  let databases = 0;
  return {
    pid,
    // Debian adds what the package is called.
    version: (await query(urlOf('postgres'), 'SHOW server_version')).split(' ')[0] ?? '',
    createDatabase: async () => {
      const name = `bench_${++databases}`;
      await query(urlOf('postgres'), `CREATE DATABASE ${name}`);
      return urlOf(name);
    },
  };
}

/** Debian keeps the server's programs off the PATH, in a folder for each version. */
function findBinaries(): string | null {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [
    ...versions.map((version) => join(debian, version, 'bin')),
    ...(process.env.PATH ?? '').split(delimiter),
  ];
  return folders.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres'))) ?? null;
}

/** Postgres refuses to run as root. */
function unprivilegedIdentity(): { uid?: number; gid?: number } | null {
  if (process.getuid?.() !== 0) return {};
  for (const user of ['postgres', 'nobody']) {
    const [uid, gid] = ['-u', '-g'].map((flag) => spawnSync('id', [flag, user], { encoding: 'utf8' }).stdout?.trim());
    if (uid && gid) return { uid: Number(uid), gid: Number(gid) };
  }
  return null;
}

async function query(url: string, sql: string): Promise<string> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<string[]>({ text: sql, rowMode: 'array' });
    return rows[0]?.[0] ?? '';
  } finally {
    await client.end();
  }
}
