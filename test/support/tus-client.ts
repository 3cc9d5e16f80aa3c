/** Hand-made requests of the tus protocol, for tests that say exactly what is on the wire. */
import { once } from 'node:events';
import type { OutgoingHttpHeaders } from 'node:http';
import { connect, type Socket } from 'node:net';
import { type Exchange, exchange } from './http-exchange.ts';

export const TUS = { 'Tus-Resumable': '1.0.0' };
export const OFFSET_BODY = { 'Content-Type': 'application/offset+octet-stream' };

export function post(filesUrl: string, headers: OutgoingHttpHeaders, body?: Uint8Array): Promise<Exchange> {
  return exchange(filesUrl, { method: 'POST', headers: { ...TUS, ...headers }, ...(body && { body }) });
}

export function patch(url: string, offset: number | string, body: Uint8Array, headers: OutgoingHttpHeaders = {}) {
  const all = { ...TUS, ...OFFSET_BODY, 'Upload-Offset': offset, ...headers };
  return exchange(url, { method: 'PATCH', headers: all, body });
}

export function head(url: string, headers: OutgoingHttpHeaders = {}): Promise<Exchange> {
  return exchange(url, { method: 'HEAD', headers: { ...TUS, ...headers } });
}

export function terminate(url: string, headers: OutgoingHttpHeaders = {}): Promise<Exchange> {
  return exchange(url, { method: 'DELETE', headers: { ...TUS, ...headers } });
}

/** @returns the address of a new upload */
export async function createUpload(filesUrl: string, lengthBytes: number, headers: OutgoingHttpHeaders = {}) {
  const created = await post(filesUrl, { 'Upload-Length': lengthBytes, ...headers });
  if (created.status !== 201) throw new Error(`${created.status} ${created.body}`);
  return String(created.headers.location);
}

/** A PATCH whose body the test sends as it likes, on a connection of its own. */
export class OpenPatch {
  readonly socket: Socket;
  #answer = '';

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('latin1').on('data', (text: string) => {
      this.#answer += text;
    });
    // A reset is what some of these tests are about; who waits for an answer sees that none came.
    socket.on('error', () => {});
  }

  /** Resolves when the bytes are in the system's hands. */
  send(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => this.socket.write(bytes, (error) => (error ? reject(error) : resolve())));
  }

  /** Gone without a word, as a phone in a tunnel. */
  vanish(): void {
    this.socket.resetAndDestroy();
  }

  /** The head of the answer, once the server has closed the connection. */
  async answer(): Promise<{ status: number; head: string }> {
    if (!this.socket.closed) await once(this.socket, 'close');
    return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(this.#answer)?.[1] ?? 0), head: this.#answer };
  }
}

/** @param declaredBytes Content-Length, which the body need not come up to */
export async function openPatch(url: string, offset: number, declaredBytes: number): Promise<OpenPatch> {
  const { hostname, port, pathname, host } = new URL(url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  const open = new OpenPatch(socket);
  const lines = [
    `PATCH ${pathname} HTTP/1.1`,
    `Host: ${host}`,
    'Tus-Resumable: 1.0.0',
    'Content-Type: application/offset+octet-stream',
    `Upload-Offset: ${offset}`,
    `Content-Length: ${declaredBytes}`,
  ];
  await open.send(Buffer.from(`${lines.join('\r\n')}\r\n\r\n`));
  return open;
}
