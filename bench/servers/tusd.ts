import { spawnSync } from 'node:child_process';
import { goTool } from '../../scripts/go-tools.mjs';
import { lastSegmentOf, type RunningServer, type ServerKind, type Site, s3Environment } from './server-kind.ts';

export const tusd: ServerKind = tusdWith('tusd', 'default', []);

/** Less logging, no hashes over what it sends, and our part size: what an operator can do about its cost. */
export const tunedTusd: ServerKind = tusdWith('tusd-tuned', 'tuned', [
  ...['-verbose=false', '-show-startup-logs=true', '-expose-metrics=false', '-s3-disable-content-hashes'],
  ...['-s3-part-size=8388608', '-s3-min-part-size=8388608'],
]);

function tusdWith(name: string, variant: string, args: readonly string[]): ServerKind {
  return {
    name,
    prepare: async () => {
      const command = await goTool('tusd');
      if (command === null) return null;
      return { title: `tusd ${versionOf(command)}, ${variant}`, start: (site) => start(command, args, site) };
    },
  };
}

async function start(command: string, args: readonly string[], site: Site): Promise<RunningServer> {
  const { pid, ready, ...rest } = await site.workshop.start({
    name: 'tusd',
    command,
    args: [
      ...['-host=127.0.0.1', '-port=0', '-base-path=/files/'],
      ...[`-s3-bucket=${site.bucket}`, `-s3-endpoint=${site.s3.endpoint}`, '-s3-disable-ssl'],
      ...args,
    ],
    env: s3Environment(site),
    ready: (line) => /http:\/\/\S+\/files\//.exec(line)?.[0] ?? null,
  });
  return {
    endpoint: ready,
    pid,
    databasePid: null,
    // Its ids are the object's key, a plus sign and the id of the multipart upload.
    objectKeysOf: async ({ url }) => [lastSegmentOf(url).split('+')[0] ?? ''],
    ...rest,
  };
}

/** `go install` stamps no version into the program itself, but into what it keeps about its build. */
function versionOf(command: string): string {
  const { stdout } = spawnSync('go', ['version', '-m', command], { encoding: 'utf8' });
  return /\smod\s\S+\s(v\S+)/.exec(stdout ?? '')?.[1] ?? '';
}
