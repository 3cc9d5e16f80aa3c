/** As little of a tus client as can be: its cost must not slow the server down that shares the machine with it. */
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pattern } from './pattern.ts';

const WRITE_BYTES = 256 * 1024;

export interface Body {
  readonly position: number;
  readonly bytes: number;
  /** null: as fast as it goes. */
  readonly bytesPerSec: number | null;
}

export class TusClient {
  readonly #endpoint: string;
  readonly #pattern: Pattern;
  readonly #agent: Agent;

  constructor(endpoint: string, pattern: Pattern, maxConnections: number) {
    this.#endpoint = endpoint;
    this.#pattern = pattern;
    this.#agent = new Agent({ keepAlive: true, maxSockets: maxConnections, scheduling: 'lifo' });
  }

  close(): void {
    this.#agent.destroy();
  }

  /**
   * @param body the first bytes, sent along; null: none
   * @returns the upload's URL, absolute
   */
  async create(length: number, body: Body | null): Promise<string> {
    const headers: Record<string, string | number> = {
      'Upload-Length': length,
      'Upload-Metadata': 'filename YmVuY2guYmlu',
    };
    if (body !== null) headers['Content-Type'] = 'application/offset+octet-stream';
    const response = await this.#send('POST', this.#endpoint, headers, body);
    expectStatus(response, 201);
    expectOffset(response, body === null ? null : body.bytes);
    return new URL(response.headers.location ?? '', this.#endpoint).href;
  }

  async patch(url: string, offset: number, body: Body): Promise<void> {
    const headers = { 'Upload-Offset': offset, 'Content-Type': 'application/offset+octet-stream' };
    const response = await this.#send('PATCH', url, headers, body);
    expectStatus(response, 204);
    expectOffset(response, offset + body.bytes);
  }

  async head(url: string, expectedOffset: number): Promise<void> {
    const response = await this.#send('HEAD', url, {}, null);
    expectStatus(response, 200);
    expectOffset(response, expectedOffset);
  }

  #send(method: string, url: string, headers: Record<string, string | number>, body: Body | null): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const outgoing = request(url, {
        method,
        agent: this.#agent,
        headers: { 'Tus-Resumable': '1.0.0', 'Content-Length': body?.bytes ?? 0, ...headers },
      });
      outgoing.once('error', reject);
      outgoing.once('response', (incoming) => readAnswer(method, incoming).then(resolve, reject));
      if (body === null) outgoing.end();
      else this.#write(outgoing, body).catch(reject);
    });
  }

  async #write(outgoing: ClientRequest, { position, bytes, bytesPerSec }: Body): Promise<void> {
    const startedMs = performance.now();
    for (let sent = 0; sent < bytes; ) {
      const slice = this.#pattern.slice(position + sent, Math.min(WRITE_BYTES, bytes - sent));
      const hasRoom = outgoing.write(slice);
      sent += slice.length;
      if (!hasRoom) await drained(outgoing);
      if (outgoing.destroyed) return;
      if (bytesPerSec === null) continue;
      const aheadMs = (sent / bytesPerSec) * 1000 - (performance.now() - startedMs);
      if (aheadMs > 0) await sleep(aheadMs);
    }
    outgoing.end();
  }
}

interface Answer {
  readonly method: string;
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

function drained(outgoing: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      outgoing.off('drain', done).off('close', done);
      resolve();
    };
    outgoing.once('drain', done).once('close', done);
  });
}

function readAnswer(method: string, incoming: IncomingMessage): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let text = '';
    incoming.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    incoming.once('error', reject);
    incoming.once('end', () => resolve({ method, status: incoming.statusCode ?? 0, headers: incoming.headers, text }));
  });
}

function expectStatus(answer: Answer, status: number): void {
  if (answer.status === status) return;
  throw new Error(`${answer.method}: expected ${status}, got ${answer.status} ${answer.text.slice(0, 300)}`);
}

/** @param offset null: the answer need not name one */
function expectOffset(answer: Answer, offset: number | null): void {
  if (offset === null || answer.headers['upload-offset'] === String(offset)) return;
  throw new Error(`${answer.method}: expected offset ${offset}, got ${answer.headers['upload-offset']}`);
}
