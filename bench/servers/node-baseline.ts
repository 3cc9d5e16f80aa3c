import { fileURLToPath } from 'node:url';
import type { SentUpload } from '../load/load.ts';
import { type RunningServer, type Site, s3Environment } from './server-kind.ts';

/** @param program under bench/baselines/, prints `{"endpoint": url}` as soon as it listens */
export async function startNodeBaseline(
  program: string,
  site: Site,
  objectKeysOf: (upload: SentUpload) => string[],
): Promise<RunningServer> {
  const { pid, ready, ...rest } = await site.workshop.start({
    name: program,
    command: process.execPath,
    args: [fileURLToPath(new URL(`../baselines/${program}`, import.meta.url))],
    env: s3Environment(site),
    ready: (line) => (line.startsWith('{') ? (JSON.parse(line) as { endpoint: string }).endpoint : null),
  });
  return { endpoint: ready, pid, databasePid: null, objectKeysOf: async (upload) => objectKeysOf(upload), ...rest };
}
