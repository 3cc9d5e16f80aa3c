import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A GET whose answer the test takes as it likes, on a connection of its own: at first nothing of it. */
export class OpenDownload {
  readonly socket: Socket;
  /** As far as the test has asked for them. */
  bytesRead = 0;

  constructor(socket: Socket) {
    this.socket = socket;
    // That the server cuts it is what some tests are about.
    socket.on('error', () => {});
  }

  /** Takes at most so many bytes of those that are here. */
  take(atMostBytes: number): Buffer {
    const { readableLength } = this.socket;
    const bytes: Buffer = this.socket.read(Math.min(atMostBytes, readableLength)) ?? Buffer.alloc(0);
    this.bytesRead += bytes.length;
    return bytes;
  }

  /** The status of the answer, once it is here. */
  async status(): Promise<number> {
    while (this.socket.readableLength === 0) {
      if (this.socket.closed) throw new Error('the connection was closed without an answer');
      await Promise.race([once(this.socket, 'readable'), once(this.socket, 'close')]);
    }
    return Number(/^HTTP\/1\.1 (\d+)/.exec(this.take(64).toString('latin1'))?.[1] ?? 0);
  }

  /** Takes all that comes until the connection ends. @returns how many bytes came in all, headers included */
  async takeAll(): Promise<number> {
    this.socket.on('data', (chunk: Buffer) => {
      this.bytesRead += chunk.length;
    });
    if (!this.socket.closed) await new Promise((resolve) => this.socket.once('close', resolve));
    return this.bytesRead;
  }
}

export async function openDownload(url: string): Promise<OpenDownload> {
  const { hostname, port, pathname, host } = new URL(url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  socket.write(`GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  return new OpenDownload(socket);
}
