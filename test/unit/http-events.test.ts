import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { EventStream, type EventStreamOptions } from '../../src/http/events-route.ts';
import { describeFile, type FileJson } from '../../src/http/file-json.ts';
import type { FileEvent } from '../../src/pipeline/event-bus.ts';
import { serveApp } from '../support/serve-app.ts';

type Listener = (event: FileEvent) => void;

/** Hands every event on at once. */
function testBus() {
  const listeners = new Set<Listener>();
  return {
    listeners,
    publish: (event: FileEvent) => {
      for (const listener of listeners) listener(event);
    },
    subscribe: (listener: Listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function fileJson(fileId: string): FileJson {
  const facts = { objectKey: 'k', bytes: 1, declaredType: null, detectedType: null, fileName: 'a', problem: null };
  return describeFile({ fileId, ...facts, width: null, height: null, createdAt: new Date(0), variants: [] }, null);
}

async function serveEvents(
  t: TestContext,
  findFile: (fileId: string) => Promise<FileJson | null> = async (fileId) => fileJson(fileId),
  options: EventStreamOptions = {},
) {
  const bus = testBus();
  const stream = new EventStream(bus, findFile, options);
  t.after(() => stream.close());
  return { bus, stream, ...(await serveApp(t, { events: stream.handle })) };
}

/** A reader that is connected once this resolves. */
async function listenTo(t: TestContext, url: string) {
  const leaving = new AbortController();
  t.after(() => leaving.abort());
  const response = await fetch(`${url}/api/events`, { signal: leaving.signal });
  const reader = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
  let unread = '';
  /** @returns the next frame; null at the end */
  const next = async (): Promise<string | null> => {
    while (!unread.includes('\n\n')) {
      const { done, value } = await reader.read();
      if (done) return null;
      unread += value;
    }
    const [frame = ''] = unread.split('\n\n', 1);
    unread = unread.slice(frame.length + 2);
    return frame;
  };
  assert.match((await next()) ?? '', /^retry: \d+$/);
  return { response, next, leave: () => leaving.abort() };
}

test('whoever listens hears every event in order, files with all that the list tells of them', async (t) => {
  const { url, bus } = await serveEvents(t);
  const [one, two] = [await listenTo(t, url), await listenTo(t, url)];
  assert.match(one.response.headers.get('content-type') ?? '', /^text\/event-stream/);
  bus.publish({ type: 'progress', uploadId: 'u', offset: 5, length: null });
  bus.publish({ type: 'finished', fileId: 'u' });
  bus.publish({ type: 'thumbnails', fileId: 'u' });
  bus.publish({ type: 'deleted', fileId: 'u' });
  for (const { next } of [one, two]) {
    assert.equal(await next(), 'event: progress\ndata: {"uploadId":"u","offset":5,"length":null}');
    assert.equal(await next(), `event: finished\ndata: ${JSON.stringify({ file: fileJson('u') })}`);
    assert.equal(await next(), `event: thumbnails\ndata: ${JSON.stringify({ file: fileJson('u') })}`);
    assert.equal(await next(), 'event: deleted\ndata: {"id":"u"}');
  }
});

test('a file that is gone, or cannot be looked up, is left out, and what follows is still told', async (t) => {
  const failures: unknown[] = [];
  const find = async (fileId: string) => {
    if (fileId === 'broken') throw new Error('no database');
    return null;
  };
  const { url, bus } = await serveEvents(t, find, { onFailure: (error) => failures.push(error) });
  const { next } = await listenTo(t, url);
  bus.publish({ type: 'finished', fileId: 'broken' });
  bus.publish({ type: 'finished', fileId: 'gone' });
  bus.publish({ type: 'deleted', fileId: 'last' });
  assert.equal(await next(), 'event: deleted\ndata: {"id":"last"}');
  assert.equal(failures.length, 1);
});

test('a silent stream is kept alive by comments', async (t) => {
  const { url } = await serveEvents(t, undefined, { heartbeatMs: 1 });
  const { next } = await listenTo(t, url);
  assert.match((await next()) ?? '', /^: /);
});

test('a reader that has left is forgotten', async (t) => {
  const { url, bus, stream, logs } = await serveEvents(t);
  const { leave } = await listenTo(t, url);
  const other = await listenTo(t, url);
  assert.equal(stream.readerCount, 2);
  leave();
  while (stream.readerCount > 1) await new Promise((resolve) => setImmediate(resolve));
  bus.publish({ type: 'deleted', fileId: 'x' });
  assert.equal(await other.next(), 'event: deleted\ndata: {"id":"x"}');
  assert.deepEqual(
    logs.filter((line) => line.level === 'error'),
    [],
  );
});

test('a reader that does not read is cut off rather than remembered for', async (t) => {
  const { url, bus, stream } = await serveEvents(t, undefined, { maxUnreadBytes: 64 * 1024 });
  const socket = connect(Number(new URL(url).port), '127.0.0.1').pause();
  t.after(() => socket.destroy());
  socket.write('GET /api/events HTTP/1.1\r\nHost: h\r\n\r\n');
  while (stream.readerCount === 0) await new Promise((resolve) => setImmediate(resolve));
  const uploadId = 'x'.repeat(10_000);
  while (stream.readerCount > 0) {
    bus.publish({ type: 'progress', uploadId, offset: 0, length: null });
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(stream.readerCount, 0);
});

test('a shutdown ends every stream and the subscription', async (t) => {
  const { url, bus, stream } = await serveEvents(t);
  const { next } = await listenTo(t, url);
  stream.close();
  assert.equal(await next(), null);
  assert.equal(bus.listeners.size, 0);
  const late = await fetch(`${url}/api/events`);
  assert.equal(await late.text(), '');
});
