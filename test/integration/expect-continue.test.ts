/** `Expect: 100-continue`: a body is asked for when it will be read, and a request that is refused is told so at once. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { startServerProcess } from '../support/server-process.ts';
import { createUpload, head } from '../support/tus-client.ts';

const HELLO = Buffer.from('hello tus');
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';
const TUS_LINES = ['Tus-Resumable: 1.0.0', 'Content-Type: application/offset+octet-stream'];

/** A connection on which every byte is the test's own. */
class Wire {
  readonly #socket: Socket;
  #heard = '';

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1').on('data', (text: string) => {
      this.#heard += text;
    });
  }

  send(bytes: string | Buffer): void {
    this.#socket.write(bytes);
  }

  /** Resolves when what has been said up to now ends so. @returns all of it */
  async hear(end: RegExp): Promise<string> {
    while (!end.test(this.#heard)) await once(this.#socket, 'data');
    return this.#heard;
  }

  /** All that the server says until it closes. */
  async rest(): Promise<string> {
    if (!this.#socket.closed) await once(this.#socket, 'close');
    return this.#heard;
  }
}

async function open(t: TestContext, url: string): Promise<Wire> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  return new Wire(socket);
}

function ask(method: string, url: string, lines: string[]): string {
  const { host, pathname } = new URL(url);
  return `${[`${method} ${pathname} HTTP/1.1`, `Host: ${host}`, ...lines].join('\r\n')}\r\n\r\n`;
}

test('a body is asked for only when it will be read', async (t) => {
  const server = await startServerProcess(t, { env: { LOG_LEVEL: 'warn', MAX_UPLOAD_BYTES: '1000' } });
  const files = `${server.url}/files`;
  const expecting = [...TUS_LINES, `Content-Length: ${HELLO.length}`, 'Expect: 100-continue'];

  await t.test(
    'a PATCH and a creation that are welcome: 100, the body, the answer; and the connection stays',
    async () => {
      const wire = await open(t, files);
      for (const [method, url, line, status] of [
        ['PATCH', await createUpload(files, 9), 'Upload-Offset: 0', 204],
        ['POST', files, 'Upload-Length: 9', 201],
      ] as const) {
        wire.send(ask(method, url, [...expecting, line]));
        await wire.hear(/100 Continue\r\n\r\n$/);
        wire.send(HELLO);
        const heard = await wire.hear(new RegExp(`HTTP/1.1 ${status} [^]*\\r\\n\\r\\n$`));
        assert.match(heard, /Upload-Offset: 9\r\n/i);
      }
    },
  );

  const open9 = await createUpload(files, 9);
  const gone = `${files}/00000000-0000-4000-8000-000000000000`;
  const refused: [name: string, status: number, method: string, url: string, lines: string[]][] = [
    ['a wrong offset', 409, 'PATCH', open9, [...expecting, 'Upload-Offset: 5']],
    ['an upload that is not there', 404, 'PATCH', gone, [...expecting, 'Upload-Offset: 0']],
    ['no offset', 400, 'PATCH', open9, expecting],
    ['no version', 412, 'PATCH', open9, [...expecting.slice(1), 'Upload-Offset: 0']],
    ['another type', 415, 'PATCH', open9, ['Tus-Resumable: 1.0.0', ...expecting.slice(2), 'Upload-Offset: 0']],
    [
      'more than the length',
      413,
      'PATCH',
      open9,
      [...TUS_LINES, 'Content-Length: 10', 'Upload-Offset: 0', 'Expect: 100-continue'],
    ],
    ['a foreign page', 403, 'PATCH', open9, [...expecting, 'Upload-Offset: 0', 'Origin: https://evil.example']],
    ['a method that is not there', 405, 'PUT', open9, expecting],
    ['a checksum', 400, 'PATCH', open9, [...expecting, 'Upload-Offset: 0', 'Upload-Checksum: sha1 x']],
    ['a length that is too much', 413, 'POST', files, [...expecting, 'Upload-Length: 1001']],
    ['a body that is too long', 413, 'POST', files, [...expecting, 'Upload-Length: 8']],
    ['wrong metadata', 400, 'POST', files, [...expecting, 'Upload-Length: 9', 'Upload-Metadata: a b c']],
    ['an address that takes no body', 404, 'POST', `${server.url}/api/files`, expecting],
    [
      'an unknown expectation',
      417,
      'PATCH',
      open9,
      [...TUS_LINES, 'Content-Length: 9', 'Upload-Offset: 0', 'Expect: tea'],
    ],
    [
      'one that is unknown beside it',
      417,
      'POST',
      `${server.url}/api/files`,
      ['Content-Length: 9', 'Expect: 100-continue, tea'],
    ],
  ];
  for (const [name, status, method, url, lines] of refused) {
    await t.test(`${name}: ${status} at once, and no body is asked for`, async () => {
      const wire = await open(t, url);
      wire.send(ask(method, url, lines));
      const heard = await wire.rest();
      assert.ok(!heard.includes(CONTINUE), heard);
      assert.match(heard, new RegExp(`^HTTP/1.1 ${status} `));
      assert.match(heard, /\r\nConnection: close\r\n/i, 'nobody could tell where the next request begins');
    });
  }
  assert.equal((await head(open9)).headers['upload-offset'], '0');
  assert.deepEqual(server.loggedErrors(), []);
});
