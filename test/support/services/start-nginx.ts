import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startChild } from './child-service.ts';
import { findProgram } from './find-program.ts';
import { startInFolder } from './start-in-folder.ts';
import { makeTempFolder } from './temp-folder.ts';

export interface NginxServer {
  readonly url: string;
  readonly port: number;
  /** As an operator does after a change: new connections are served by the new configuration, running ones go on. */
  reload(httpBlock: string): Promise<void>;
  /** For good, with all its files. Safe to call twice. */
  stop(): Promise<void>;
}

/**
 * @param httpBlock what stands inside of `http { }` (upstreams, servers), made for the port that nginx is to listen on
 * @returns null when nginx is not installed
 * @throws Error with nginx's own words when the configuration is wrong
 */
export async function startNginx(httpBlock: (port: number) => string): Promise<NginxServer | null> {
  const program = findProgram('nginx', ['/usr/sbin']);
  if (program === null) return null;
  const folder = await makeTempFolder('nginx');
  const config = join(folder.path, 'nginx.conf');
  const launch = async (free: number) => {
    await writeFile(config, wholeConfig(folder.path, httpBlock(free)));
    return startChild(program, ['-p', folder.path, '-c', config, '-e', 'stderr'], { isReady: () => answers(free) });
  };
  const { port, service, stop } = await startInFolder(folder, launch);
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    reload: async (block) => {
      await writeFile(config, wholeConfig(folder.path, block));
      service.signal('SIGHUP');
    },
    stop,
  };
}

/** Everything that nginx would put into system folders goes into the test's own. */
function wholeConfig(folder: string, httpBlock: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return [
    // Otherwise root's workers are another user, who may not use the folder.
    process.getuid?.() === 0 ? 'user root;' : '',
    'daemon off;',
    'worker_processes 1;',
    `pid ${join(folder, 'nginx.pid')};`,
    'events {}',
    'http {',
    'access_log off;',
    ...temporary.map((name) => `${name}_temp_path ${join(folder, name)};`),
    httpBlock,
    '}',
  ].join('\n');
}

/** Whatever it says, an upstream that is not there yet included. */
async function answers(port: number): Promise<boolean> {
  await fetch(`http://127.0.0.1:${port}/`, { redirect: 'manual', signal: AbortSignal.timeout(1_000) });
  return true;
}
