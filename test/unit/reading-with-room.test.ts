/** How far a body is read from its connection: as far as somebody has room for it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { listen } from '../../src/http/http-server.ts';
import { BodyReader } from '../../src/relay/body-reader.ts';
import { EarlyBytes } from '../../src/relay/early-bytes.ts';
import { type SpillHandle, SpillStore } from '../../src/relay/spill-store.ts';
import { WaitingRoom } from '../../src/relay/waiting-room.ts';
import { answer } from '../../src/tus/tus-answer.ts';

const KIB = 1024;
const BODY_BYTES = 8 * KIB * KIB;
/** What Node reads at once. */
const READ_BYTES = 64 * KIB;
const never = () => new AbortController().signal;

interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  client: Socket;
  /** Of the request's connection, with its headers. */
  read: () => number;
}

/** A request whose client sends as far as it can; with `together` its body begins in the same write as its headers. */
async function openRequest(t: TestContext, together: boolean, bodyBytes = BODY_BYTES): Promise<Exchange> {
  const { promise, resolve } = Promise.withResolvers<[IncomingMessage, ServerResponse, EarlyBytes | null]>();
  const server = await listen((request, response) => resolve([request, response, null]), '127.0.0.1', 0);
  const client = connect(server.address.port, '127.0.0.1').on('error', () => {});
  t.after(async () => {
    client.destroy();
    await server.close(0);
  });
  const headers = `PATCH / HTTP/1.1\r\nHost: x\r\nContent-Length: ${bodyBytes}\r\n\r\n`;
  const body = Buffer.alloc(bodyBytes, 'b');
  if (together) client.write(Buffer.concat([Buffer.from(headers), body]));
  else client.write(headers);
  const [request, response] = await promise;
  if (!together) client.write(body);
  return { request, response, client, read: () => request.socket.bytesRead };
}

/** Time enough for the event loop to read what it is going to read. */
async function turns(): Promise<void> {
  for (let i = 0; i < 50; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

function roomOf(memoryBytes: number, file?: SpillHandle): WaitingRoom {
  const open = async () => file ?? Promise.reject(new Error('nothing is to go to a file'));
  return new WaitingRoom(memoryBytes, new SpillStore(open, { capBytes: null, now: () => 0, onFailure: () => {} }));
}

test('nothing of a body is read before it is asked for, and then one read at a time', async (t) => {
  const { request, read } = await openRequest(t, false);
  await turns();
  const headerBytes = read();
  assert.ok(headerBytes < KIB, `${headerBytes} bytes were read`);
  using reader = new BodyReader(request, 60_000, never());
  await turns();
  assert.equal(read(), headerBytes);
  let taken = 0;
  for (let i = 0; i < 5; i += 1) {
    const chunk = await reader.next();
    taken += chunk?.length ?? 0;
    await turns();
    assert.equal(read(), headerBytes + taken, 'nothing is read ahead');
    assert.ok((chunk?.length ?? 0) <= READ_BYTES);
  }
  reader.interrupt();
  assert.equal((await reader.next())?.length, 0);
  const waiting = reader.next();
  reader.interrupt();
  await waiting;
  await turns();
  assert.equal(read(), headerBytes + taken, 'an interruption stops a read that was to come');
});

test('a body comes out whole, whether or not its reader is ever late, and the connection goes on after it', async (t) => {
  const { request, response, client } = await openRequest(t, true);
  using early = new EarlyBytes(request, roomOf(READ_BYTES));
  using reader = new BodyReader(request, 60_000, never(), early);
  let bytes = 0;
  for (let chunk = await reader.next(); chunk !== null; chunk = await reader.next()) {
    assert.ok(chunk.every((byte) => byte === 98));
    bytes += chunk.length;
    reader.free(chunk);
    if (bytes % 7 === 0) await turns();
  }
  assert.equal(bytes, BODY_BYTES);
  assert.equal(reader.end, 'complete');
  response.end('first');
  const [text] = await once(client, 'data');
  assert.match(String(text), /^HTTP\/1\.1 200/);
});

test('what came along with the headers waits in memory while it is little, and is counted', async (t) => {
  const { request } = await openRequest(t, true);
  const room = roomOf(READ_BYTES);
  const early = new EarlyBytes(request, room);
  await turns();
  assert.ok(room.bytes > 0 && room.bytes <= READ_BYTES);
  assert.equal(request.socket.bytesRead <= READ_BYTES, true, 'and nothing follows it');
  const chunk = await early.take();
  assert.equal(room.bytes, 0);
  assert.ok((chunk?.length ?? 0) > 0);
  assert.equal(await early.take(), null);
  early[Symbol.dispose]();
});

test('when it is much it goes to a file, comes back as it was, and the file is given up after the last', async (t) => {
  const file = new MemoryFile();
  const room = roomOf(0, file);
  const [one, two] = [await openRequest(t, true), await openRequest(t, true)];
  const earlies = [one, two].map(({ request }) => new EarlyBytes(request, room));
  await turns();
  assert.equal(room.bytes, 0);
  assert.equal(file.writes, 2);
  for (const early of earlies) {
    assert.equal(early.areThere, true);
    const chunk = await early.take();
    assert.ok(chunk !== null && chunk.length > 0 && chunk.every((byte) => byte === 98));
  }
  await turns();
  assert.equal(file.closed, true);
  for (const early of earlies) early[Symbol.dispose]();
});

test('with no room on the disk it stays in memory; a request that ends without taking it leaves nothing', async (t) => {
  const room = roomOf(0);
  const { request } = await openRequest(t, true);
  const early = new EarlyBytes(request, room);
  await turns();
  assert.ok(room.bytes > 0);
  early[Symbol.dispose]();
  assert.equal(room.bytes, 0);
  assert.equal(await early.take(), null);
});

test('a client that is refused while it sends reads its answer', async (t) => {
  for (const isBegun of [false, true]) {
    // Less than the server goes on reading after its answer.
    const { request, response, client } = await openRequest(t, true, 512 * KIB);
    const early = new EarlyBytes(request, roomOf(READ_BYTES));
    const reader = isBegun ? new BodyReader(request, 60_000, never(), early) : null;
    await reader?.next();
    reader?.[Symbol.dispose]();
    early[Symbol.dispose]();
    const before = request.socket.bytesRead;
    answer(request, response, 409, {}, 'no');
    const [text] = await once(client, 'data');
    assert.match(String(text), /^HTTP\/1\.1 409/);
    await once(client, 'close');
    assert.ok(request.socket.bytesRead > before + READ_BYTES, 'what it sends is read, so that no reset overtakes it');
  }
});

class MemoryFile implements SpillHandle {
  content = Buffer.alloc(0);
  writes = 0;
  closed = false;

  async writev(chunks: readonly Uint8Array[], position: number): Promise<{ bytesWritten: number }> {
    this.writes += 1;
    const bytes = Buffer.concat(chunks);
    if (this.content.length < position + bytes.length) {
      this.content = Buffer.concat([this.content], position + bytes.length);
    }
    bytes.copy(this.content, position);
    return { bytesWritten: bytes.length };
  }

  async read(into: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> {
    return { bytesRead: this.content.copy(into, offset, position, position + length) };
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}
