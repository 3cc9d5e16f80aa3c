import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LoadResult, WaitingLoad } from './load.ts';
import { type Pattern, positionOfUpload } from './pattern.ts';
import { TusClient } from './tus-client.ts';

const CREATED_AT_A_TIME = 16;
const WRITE_BYTES = 64 * 1024;
/** When no socket has taken a byte for so long, all of them wait. */
const QUIET_MS = 5_000;

/** @throws when a connection breaks, or is answered */
export async function runWaiting(load: WaitingLoad, endpoint: string, pattern: Pattern): Promise<LoadResult> {
  const urls = await createAll(load, endpoint, pattern);
  const crowd = new Crowd(pattern, load.bytes);
  try {
    // One after the other: the system would refuse some of thousands that come at once.
    for (const [index, url] of urls.entries()) await crowd.add(new URL(url), positionOfUpload(index));
    await crowd.quiet();
  } finally {
    crowd.close();
  }
  return { uploads: [], latenciesMs: [] };
}

async function createAll({ clients, bytes }: WaitingLoad, endpoint: string, pattern: Pattern): Promise<string[]> {
  const client = new TusClient(endpoint, pattern, CREATED_AT_A_TIME);
  try {
    return await Promise.all(Array.from({ length: clients }, () => client.create(bytes, null)));
  } finally {
    client.close();
  }
}

class Crowd {
  readonly #pattern: Pattern;
  readonly #bytes: number;
  readonly #sockets: Socket[] = [];
  #lastMs = performance.now();
  #problem: string | null = null;

  constructor(pattern: Pattern, bytes: number) {
    this.#pattern = pattern;
    this.#bytes = bytes;
  }

  async add({ host, hostname, port, pathname }: URL, position: number): Promise<void> {
    const socket = connect(Number(port), hostname);
    this.#sockets.push(socket);
    await once(socket, 'connect');
    socket.on('error', (error) => this.#fail(error.message));
    socket.on('data', (answer) => this.#fail(String(answer).slice(0, 200)));
    const headers = [
      `PATCH ${pathname} HTTP/1.1`,
      `Host: ${host}`,
      'Tus-Resumable: 1.0.0',
      'Upload-Offset: 0',
      'Content-Type: application/offset+octet-stream',
      `Content-Length: ${this.#bytes}`,
    ];
    // In one piece with the beginning of the body, as most clients do it.
    const first = this.#pattern.slice(position, WRITE_BYTES);
    socket.write(Buffer.concat([Buffer.from(`${headers.join('\r\n')}\r\n\r\n`), first]));
    let sent = first.length;
    const send = () => {
      this.#lastMs = performance.now();
      while (sent < this.#bytes) {
        const slice = this.#pattern.slice(position + sent, Math.min(WRITE_BYTES, this.#bytes - sent));
        sent += slice.length;
        if (!socket.write(slice)) return;
      }
    };
    socket.on('drain', send);
    send();
  }

  async quiet(): Promise<void> {
    while (performance.now() - this.#lastMs < QUIET_MS) {
      if (this.#problem !== null) throw new Error(`a client that was to wait: ${this.#problem}`);
      await sleep(QUIET_MS / 10);
    }
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #fail(problem: string): void {
    this.#problem ??= problem;
  }
}
