/** What has to hold behind a proxy that is set up as docs/ says, whichever it is. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { request } from 'node:https';
import { buffer } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { scrape } from '../../support/read-metrics.ts';
import { type ServerProcess, startServerProcess } from '../../support/server-process.ts';
import { freePort } from '../../support/services/free-port.ts';
import { type Certificate, selfSigned } from './self-signed.ts';
import { until } from './until.ts';

const MIB = 1024 * 1024;
export const HOST_NAME = 'uploads.example.com';
const METRICS_TOKEN = 'proxy-test-metrics';
const TUS = { 'Tus-Resumable': '1.0.0' };
const OFFSET_BODY = { ...TUS, 'Content-Type': 'application/offset+octet-stream' };
const GONE = 'tus_relay_http_request_duration_seconds_count{area="tus",method="PATCH",status="gone"}';

export interface ProxySetting {
  /** `host:port` of the server, and of a node that is down. */
  nodes: readonly [string, string];
  certificate: Certificate;
}

type StartProxy = (setting: ProxySetting) => Promise<{ port: number; stop(): Promise<void> } | null>;

interface Sent {
  method: string;
  headers?: OutgoingHttpHeaders;
  body?: Uint8Array;
}

/** A browser's side of the proxy. */
class ProxyClient {
  readonly port: number;
  readonly #ca: string;

  constructor(port: number, ca: string) {
    this.port = port;
    this.#ca = ca;
  }

  get origin(): string {
    return `https://${HOST_NAME}:${this.port}`;
  }

  /** @param url below the origin */
  begin(url: string, method: string, headers: OutgoingHttpHeaders = {}): ClientRequest {
    assert.ok(url.startsWith(`${this.origin}/`), `${url} is not below ${this.origin}`);
    return request({
      ...{ host: '127.0.0.1', port: this.port, servername: HOST_NAME, ca: this.#ca, agent: false },
      ...{ method, path: url.slice(this.origin.length), headers: { Host: `${HOST_NAME}:${this.port}`, ...headers } },
    });
  }

  async send(url: string, { method, headers = {}, body }: Sent) {
    const length = body === undefined ? {} : { 'Content-Length': body.length };
    const response = await answerOf(this.begin(url, method, { ...length, ...headers }).end(body));
    return { status: response.statusCode, headers: response.headers, body: await buffer(response) };
  }

  async create(endpoint: string, lengthBytes: number): Promise<string> {
    const { status, headers } = await this.send(endpoint, {
      method: 'POST',
      headers: { ...TUS, 'Upload-Length': lengthBytes },
    });
    assert.equal(status, 201);
    return String(headers.location);
  }

  patch(url: string, lengthBytes: number): ClientRequest {
    return this.begin(url, 'PATCH', { ...OFFSET_BODY, 'Upload-Offset': 0, 'Content-Length': lengthBytes });
  }
}

export async function holdsBehindProxy(t: TestContext, startProxy: StartProxy): Promise<void> {
  const server = await startServerProcess(t, {
    // Only the end of a request, never the silence of its body, can be what stores a tail.
    env: { TRUST_PROXY: 'loopback', ALLOWED_HOSTS: HOST_NAME, METRICS_TOKEN, IDLE_BODY_SECS: '3600' },
  });
  const certificate = await selfSigned(t, HOST_NAME);
  const nodes = [`127.0.0.1:${server.port}`, `127.0.0.1:${await freePort()}`] as const;
  const proxy = await startProxy({ nodes, certificate });
  if (proxy === null) return t.skip('the proxy is not installed');
  t.after(() => proxy.stop());
  const client = new ProxyClient(proxy.port, certificate.pem);

  await t.test('Location is what the client can reach: scheme, name, port and path prefix', async () => {
    for (const prefix of ['', '/storage']) {
      const url = await client.create(`${client.origin}${prefix}/files`, 5);
      assert.match(url, new RegExp(`^https://${HOST_NAME}:${proxy.port}${prefix}/files/[^/]+$`));
      assert.equal((await client.send(url, { method: 'HEAD', headers: TUS })).headers['upload-offset'], '0');
    }
  });

  await t.test('what a client says about proxies is not believed', async () => {
    const headers = { ...TUS, 'Upload-Length': 5, Forwarded: 'host=evil.example;proto=http' };
    const forged = { 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Prefix': '/evil', 'X-Forwarded-Proto': 'http' };
    const answer = await client.send(`${client.origin}/files`, { method: 'POST', headers: { ...headers, ...forged } });
    assert.match(String(answer.headers.location), new RegExp(`^${client.origin}/files/`));
  });

  await t.test('a page that the proxy serves may upload, a page of another origin may not', async () => {
    const create = (origin: string) =>
      client.send(`${client.origin}/files`, {
        method: 'POST',
        headers: { ...TUS, 'Upload-Length': 5, Origin: origin },
      });
    assert.equal((await create(client.origin)).status, 201);
    for (const origin of ['https://evil.example', `http://${HOST_NAME}:${proxy.port}`, 'null'])
      assert.equal((await create(origin)).status, 403, origin);
  });

  await t.test('the server is asked by the name that the client used, and by no other', async () => {
    const ask = async (host: string) =>
      String((await client.send(`${client.origin}/api/files`, { method: 'GET', headers: { Host: host } })).body);
    assert.match(await ask(`${HOST_NAME}:${proxy.port}`), /"files"/);
    assert.doesNotMatch(await ask('evil.example'), /"files"/, 'by the proxy or by the server');
  });

  await t.test('a node that is down is passed by, whatever the method', async () => {
    for (let index = 0; index < 6; index++) {
      const body = randomBytes(2 * MIB);
      const url = await client.create(`${client.origin}/files`, body.length);
      const { status } = await client.send(url, {
        ...{ method: 'PATCH', body },
        headers: { ...OFFSET_BODY, 'Upload-Offset': 0 },
      });
      assert.equal(status, 204);
    }
  });

  await t.test('64 MiB stream: they are stored while the body is under way, and arrive unharmed', async () => {
    const content = randomBytes(64 * MIB);
    const url = await client.create(`${client.origin}/files`, content.length);
    const before = await committedBytes(server);
    const patch = client.patch(url, content.length);
    patch.write(content.subarray(0, 32 * MIB));
    await until('the first half is stored', async () => (await committedBytes(server)) - before >= 30 * MIB);
    assert.equal((await answerOf(patch.end(content.subarray(32 * MIB)))).statusCode, 204);
    const { body } = await client.send(url, { method: 'GET' });
    assert.equal(sha256(body), sha256(content));
  });

  await t.test('live events arrive while their stream goes on', async () => {
    const reading = client.begin(`${client.origin}/api/events`, 'GET').end();
    const stream = await answerOf(reading);
    let text = '';
    stream.setEncoding('utf8').on('data', (more: string) => {
      text += more;
    });
    stream.on('error', () => {}); // we leave in the middle
    await until('the stream begins', () => text.includes('retry:'));
    const url = await client.create(`${client.origin}/files`, 5);
    await client.send(url, {
      ...{ method: 'PATCH', body: Buffer.from('hello') },
      headers: { ...OFFSET_BODY, 'Upload-Offset': 0 },
    });
    await until('the event is here', () => /^event: finished$/m.test(text));
    assert.equal(stream.complete, false);
    reading.destroy();
  });

  await t.test('a client that vanishes is gone for the server too, and what it had sent is stored', async () => {
    const sent = randomBytes(6 * MIB);
    const url = await client.create(`${client.origin}/files`, 10 * MIB);
    const [before, goneBefore] = [await committedBytes(server), await goneRequests(server)];
    const patch = client.patch(url, 10 * MIB);
    patch.on('error', () => {});
    patch.write(sent);
    await until('its whole part is stored', async () => (await committedBytes(server)) - before === 5 * MIB);
    patch.destroy();
    await until('the server has seen it go', async () => (await goneRequests(server)) === goneBefore + 1);
    const { status, headers } = await client.send(url, { method: 'HEAD', headers: TUS });
    assert.equal(status, 200, 'a client that left is no failure of the node');
    // The proxy may have swallowed what it had not handed on yet.
    const offset = Number(headers['upload-offset']);
    assert.ok(offset >= 5 * MIB && offset <= sent.length, String(offset));
  });
}

/** With no node up, the proxy tells clients to come again: none takes its upload for gone. */
export async function tellsToComeAgain(t: TestContext, startProxy: StartProxy): Promise<void> {
  const certificate = await selfSigned(t, HOST_NAME);
  const nodes = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`] as const;
  const proxy = await startProxy({ nodes, certificate });
  if (proxy === null) return t.skip('the proxy is not installed');
  t.after(() => proxy.stop());
  const client = new ProxyClient(proxy.port, certificate.pem);
  const url = `${client.origin}/files/0b6c5a5e-0000-4000-8000-000000000000`;
  const body = Buffer.alloc(100_000);
  // The second time both of them are known to be away.
  for (let attempt = 0; attempt < 2; attempt++) {
    const answers = await Promise.all([
      client.send(url, { method: 'HEAD', headers: TUS }),
      client.send(url, { method: 'PATCH', headers: TUS, body }),
      client.send(url, { method: 'POST', headers: TUS }),
    ]);
    const told = answers.map(({ status, headers }) => [status, headers['retry-after']]);
    assert.deepEqual(told, [
      [423, '1'],
      [503, '1'],
      [503, '1'],
    ]);
  }
}

async function answerOf(sending: ClientRequest): Promise<IncomingMessage> {
  const [response] = await once(sending, 'response');
  return response;
}

const scrapeOf = (server: ServerProcess) => scrape(server.url, { Authorization: `Bearer ${METRICS_TOKEN}` });

async function committedBytes(server: ServerProcess): Promise<number> {
  return (await scrapeOf(server)).sum('tus_relay_committed_bytes_total');
}

async function goneRequests(server: ServerProcess): Promise<number> {
  return (await scrapeOf(server)).find(GONE) ?? 0;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
