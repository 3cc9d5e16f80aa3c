import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { startChild } from './child-service.ts';
import { findProgram } from './find-program.ts';
import { startInFolder } from './start-in-folder.ts';
import { makeTempFolder } from './temp-folder.ts';

export interface CaddyServer {
  readonly port: number;
  /** For good, with all its files. Safe to call twice. */
  stop(): Promise<void>;
}

/** For a test: nothing outside of its folder, no port but the one, no certificates from elsewhere. */
const GLOBAL_OPTIONS = '{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\tauto_https disable_redirects\n}\n';

/**
 * @param caddyfile sites and snippets, made for the port that Caddy is to listen on
 * @returns null when Caddy is not installed
 * @throws Error with Caddy's own words when the configuration is wrong
 */
export async function startCaddy(caddyfile: (port: number) => string): Promise<CaddyServer | null> {
  const program = findProgram('caddy');
  if (program === null) return null;
  const folder = await makeTempFolder('caddy');
  const config = join(folder.path, 'Caddyfile');
  const launch = async (free: number) => {
    await writeFile(config, `${GLOBAL_OPTIONS}${caddyfile(free)}`);
    return startChild(program, ['run', '--config', config, '--adapter', 'caddyfile'], {
      env: { ...process.env, HOME: folder.path, XDG_DATA_HOME: folder.path, XDG_CONFIG_HOME: folder.path },
      isReady: () => accepts(free),
    });
  };
  return startInFolder(folder, launch);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: 1_000 });
    const finish = (ready: boolean) => {
      socket.destroy();
      resolve(ready);
    };
    socket
      .once('connect', () => finish(true))
      .once('error', () => finish(false))
      .once('timeout', () => finish(false));
  });
}
