import { createServer, type Server, type Socket, connect as tcpConnect } from 'node:net';
import type { TestContext } from 'node:test';

/**
 * A TCP proxy between the browser and the server that a test can close, byte-exactly: so that "in the middle of the
 * upload" is a fact and no matter of luck.
 */
export class GateProxy {
  readonly #targetPort: number;
  #server: Server | null = null;
  #port = 0;
  readonly #pairs = new Map<Socket, Socket>();
  /** Bytes that may still go to the server before the gate shuts. */
  #allowance = Number.POSITIVE_INFINITY;
  readonly #held = new Map<Socket, Buffer>();
  #onHeld: (() => void) | null = null;

  constructor(targetPort: number) {
    this.#targetPort = targetPort;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async open(): Promise<void> {
    const server = createServer((client) => this.#connect(client));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#port = (server.address() as { port: number }).port;
    this.#server = server;
  }

  /**
   * Lets so many bytes through to the server, then shuts for the connection that sends more; others pass.
   *
   * @returns a promise of the moment when it shuts
   */
  holdAfter(bytes: number): Promise<void> {
    this.#allowance = bytes;
    return new Promise((resolve) => {
      this.#onHeld = resolve;
    });
  }

  /** What was held goes on. */
  release(): void {
    for (const [client, rest] of this.#held) {
      this.#held.delete(client);
      this.#pairs.get(client)?.write(rest);
      client.resume();
    }
  }

  /** What was held is lost, with its connection: a browser that ends a request may have sent far ahead of us. */
  drop(): void {
    for (const client of this.#held.keys()) client.resetAndDestroy();
  }

  /** The network is gone: every connection breaks, and new ones are refused. */
  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    this.#allowance = Number.POSITIVE_INFINITY;
    const closed = new Promise((resolve) => (server === null ? resolve(null) : server.close(resolve)));
    for (const [client, upstream] of this.#pairs) {
      client.resetAndDestroy();
      upstream.destroy();
    }
    await closed;
  }

  #connect(client: Socket): void {
    const upstream = tcpConnect(this.#targetPort, '127.0.0.1');
    this.#pairs.set(client, upstream);
    client.on('data', (chunk) => this.#forward(client, upstream, chunk));
    upstream.pipe(client);
    for (const socket of [client, upstream]) {
      socket.on('error', () => {}); // 'close' follows
      socket.once('close', () => {
        this.#pairs.delete(client);
        this.#held.delete(client);
        client.destroy();
        upstream.destroy();
      });
    }
  }

  #forward(client: Socket, upstream: Socket, chunk: Buffer): void {
    const now = chunk.subarray(0, Math.min(chunk.length, this.#allowance));
    this.#allowance -= now.length;
    if (now.length < chunk.length) {
      this.#allowance = Number.POSITIVE_INFINITY;
      client.pause();
      this.#held.set(client, chunk.subarray(now.length));
      this.#onHeld?.();
    }
    if (now.length > 0 && !upstream.write(now)) {
      client.pause();
      upstream.once('drain', () => this.#held.has(client) || client.resume());
    }
  }
}

/** @param targetPort where the server listens on 127.0.0.1 */
export async function startGateProxy(t: TestContext, targetPort: number): Promise<GateProxy> {
  const proxy = new GateProxy(targetPort);
  await proxy.open();
  t.after(() => proxy.cut());
  return proxy;
}
