import { fileURLToPath } from 'node:url';
import type { SentUpload } from '../load/load.ts';
import { lastSegmentOf, type RunningServer, type ServerKind, type Site, s3Environment } from './server-kind.ts';

const PROGRAM = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export const ours: ServerKind = {
  name: 'ours',
  prepare: async (postgres) => ({
    title: postgres === null ? 'tus-relay, PGlite' : `tus-relay, Postgres ${postgres.version}`,
    start,
  }),
};

async function start(site: Site): Promise<RunningServer> {
  const { workshop, postgres, settings } = site;
  const { pid, ready, ...rest } = await workshop.start({
    name: 'tus-relay',
    command: process.execPath,
    // As `npm start` does.
    args: ['--max-semi-space-size=8', ...profileArguments(settings.profileFolder), PROGRAM],
    env: {
      NODE_COMPILE_CACHE: fileURLToPath(new URL('../../node_modules/.cache/compiled', import.meta.url)),
      ...s3Environment(site),
      HOST: '127.0.0.1',
      PORT: '0',
      DATA_DIR: workshop.newFolder('data'),
      LOG_LEVEL: 'warn',
      ...(postgres === null ? {} : { DATABASE_URL: await postgres.createDatabase() }),
      ...(settings.signsPayloads ? { S3_PAYLOAD_SIGNING: 'signed' } : {}),
      ...settings.variables,
      ...(settings.bufferBytes === null ? {} : { BUFFER_BYTES: String(settings.bufferBytes) }),
    },
    ready: (line) => /^\s*tus endpoint\s+(http:\S+)/.exec(line)?.[1] ?? null,
  });
  return {
    endpoint: ready,
    pid,
    databasePid: postgres?.pid ?? null,
    objectKeysOf: async (upload) => [await keyOf(upload, ready)],
    ...rest,
  };
}

function profileArguments(folder: string | null): string[] {
  return folder === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${folder}`, '--cpu-prof-interval=500'];
}

/** A file has the id of the upload that it came from. */
async function keyOf({ url }: SentUpload, endpoint: string): Promise<string> {
  const response = await fetch(new URL(`/api/files/${lastSegmentOf(url)}`, endpoint));
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${await response.text()}`);
  return ((await response.json()) as { key: string }).key;
}
