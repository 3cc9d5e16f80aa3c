import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { operationNameOf } from './s3-operations.ts';

const QUIET_MS = 200;

/**
 * Stands between a server and S3 and counts the requests by operation. It costs time, so nothing is timed through it.
 * The Host header goes through as it is, so that signatures stay right.
 */
export class CountingProxy {
  readonly endpoint: string;
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #target: URL;
  readonly #counts = new Map<string, number>();
  #running = 0;
  #isHolding = false;
  #lastMs = performance.now();

  private constructor(server: Server, target: URL) {
    this.#server = server;
    this.#target = target;
    this.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('request', (incoming, response) => void this.#forward(incoming, response));
  }

  static async start(targetEndpoint: string): Promise<CountingProxy> {
    const server = createServer({ requestTimeout: 0 }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new CountingProxy(server, new URL(targetEndpoint));
  }

  /** From now on nothing is taken, and nothing answered. */
  hold(): void {
    this.#isHolding = true;
  }

  reset(): void {
    this.#counts.clear();
  }

  /** Waits for what a server still does behind its last answer: until nothing has come for a fifth of a second. */
  async counts(): Promise<ReadonlyMap<string, number>> {
    while (this.#running > 0 || performance.now() - this.#lastMs < QUIET_MS) await sleep(QUIET_MS / 4);
    return new Map(this.#counts);
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
    this.#agent.destroy();
  }

  async #forward(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = incoming;
    const name = operationNameOf(method, url, headers['x-amz-copy-source'] !== undefined);
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    if (this.#isHolding) return;
    this.#running++;
    try {
      const outgoing = request({
        agent: this.#agent,
        hostname: this.#target.hostname,
        port: this.#target.port,
        method,
        path: url,
        headers: rawHeadersOf(incoming),
      });
      const reply = once(outgoing, 'response') as Promise<[IncomingMessage]>;
      const [[answer]] = await Promise.all([reply, pipeline(incoming, outgoing)]);
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      await pipeline(answer, response);
    } catch {
      response.destroy(); // the server under test sees a broken connection, as it is one
    } finally {
      this.#running--;
      this.#lastMs = performance.now();
    }
  }
}

/** Everything as it came, in the spelling that was signed. */
function rawHeadersOf({ rawHeaders }: IncomingMessage): string[] {
  return rawHeaders;
}
