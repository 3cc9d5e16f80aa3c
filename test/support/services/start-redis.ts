import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { startChild } from './child-service.ts';
import { getProgram } from './find-program.ts';
import { startInFolder } from './start-in-folder.ts';
import { makeTempFolder } from './temp-folder.ts';

export interface RedisServer {
  /** With the password, when there is one. */
  readonly url: string;
  readonly port: number;
  /** Ends the server; it can be started again on the same port. Nothing is kept: the worst case for who relies on it. */
  down(): Promise<void>;
  up(): Promise<void>;
  restart(): Promise<void>;
  /** The server keeps its connections and answers nothing, as behind a network that swallows packets. */
  pause(): void;
  resume(): void;
  /** For good, with all its files. Safe to call twice. */
  stop(): Promise<void>;
}

/** @param options.config lines of redis.conf */
export async function startRedis(options: { password?: string; config?: string } = {}): Promise<RedisServer> {
  const { password, config } = options;
  const program = getProgram('redis-server');
  const folder = await makeTempFolder('redis');
  const configFile = join(folder.path, 'redis.conf');
  if (config !== undefined) await writeFile(configFile, config);
  const launch = (port: number) => {
    const args = [
      ...(config === undefined ? [] : [configFile]),
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
    ];
    if (password !== undefined) args.push('--requirepass', password);
    args.push('--dir', folder.path);
    return startChild(program, args, { isReady: () => answersPing(port) });
  };
  const placed = await startInFolder(folder, launch);
  const { port } = placed;
  let server = placed.service;
  // A stopped process acts on SIGTERM only when it goes on. Nothing is saved, so nothing is lost by a kill.
  const down = () => server.stop('SIGKILL');
  const up = async () => {
    server = await launch(port);
  };
  return {
    url: `redis://${password === undefined ? '' : `:${password}@`}127.0.0.1:${port}`,
    port,
    down,
    up,
    restart: async () => {
      await down();
      await up();
    },
    pause: () => server.signal('SIGSTOP'),
    resume: () => server.signal('SIGCONT'),
    stop: async () => {
      await down();
      await folder.remove();
    },
  };
}

/** A server that wants a password first is ready as well. */
function answersPing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: 1_000 });
    const finish = (ready: boolean) => {
      socket.destroy();
      resolve(ready);
    };
    socket.once('connect', () => socket.write('PING\r\n'));
    socket.once('data', (answer) => finish(/^(\+PONG|-NOAUTH)/.test(answer.toString())));
    socket.once('error', () => finish(false));
    socket.once('timeout', () => finish(false));
  });
}
