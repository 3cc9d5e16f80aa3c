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

type FindFiles = (fileIds: string[]) => Promise<Map<string, FileJson>>;

const findAll: FindFiles = async (fileIds) => new Map(fileIds.map((fileId) => [fileId, fileJson(fileId)]));

async function serveEvents(t: TestContext, find: FindFiles = findAll, options: Partial<EventStreamOptions> = {}) {
  const bus = testBus();
  const stream = new EventStream(bus, find, { maxReaders: 100, turnMs: 0, ...options });
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

const finished = (fileId: string): FileEvent => ({ type: 'finished', fileId });
const progress = (uploadId: string, offset: number): FileEvent => ({
  type: 'progress',
  uploadId,
  offset,
  length: null,
});
const progressFrame = (uploadId: string, offset: number) =>
  `event: progress\ndata: {"uploadId":"${uploadId}","offset":${offset},"length":null}`;
const fileFrame = (type: string, fileId: string) =>
  `event: ${type}\ndata: ${JSON.stringify({ file: fileJson(fileId) })}`;

test('whoever listens hears what happens, files with all that the list tells of them', async (t) => {
  const { url, bus } = await serveEvents(t);
  const [one, two] = [await listenTo(t, url), await listenTo(t, url)];
  assert.match(one.response.headers.get('content-type') ?? '', /^text\/event-stream/);
  for (const [event, frame] of [
    [progress('u', 5), progressFrame('u', 5)],
    [finished('u'), fileFrame('finished', 'u')],
    [{ type: 'thumbnails', fileId: 'u' }, fileFrame('thumbnails', 'u')],
    [{ type: 'deleted', fileId: 'u' }, 'event: deleted\ndata: {"id":"u"}'],
    [{ type: 'ended', uploadId: 'v', state: 'expired' }, 'event: ended\ndata: {"uploadId":"v","state":"expired"}'],
  ] as [FileEvent, string][]) {
    bus.publish(event);
    assert.equal(await one.next(), frame);
    assert.equal(await two.next(), frame);
  }
});

test('what happens faster than it can be told: of each upload the last progress, its end always and last', async (t) => {
  const looks: string[][] = [];
  const first = Promise.withResolvers<void>();
  const { url, bus, stream } = await serveEvents(t, async (fileIds) => {
    looks.push(fileIds);
    await first.promise;
    return findAll(fileIds);
  });
  const { next } = await listenTo(t, url);
  bus.publish(finished('first'));
  while (looks.length === 0) await new Promise((resolve) => setImmediate(resolve));
  for (let offset = 1; offset <= 1_000; offset += 1) {
    for (const uploadId of ['a', 'b', 'c', 'd', 'e']) bus.publish(progress(uploadId, offset));
  }
  bus.publish({ type: 'ended', uploadId: 'b', state: 'terminated' });
  bus.publish(finished('c'));
  bus.publish({ type: 'thumbnails', fileId: 'c' });
  bus.publish(finished('d'));
  bus.publish({ type: 'deleted', fileId: 'd' });
  bus.publish(progress('b', 1_001));
  assert.equal(stream.figures.pendingUploads, 5);
  first.resolve();
  assert.equal(await next(), fileFrame('finished', 'first'));
  assert.equal(await next(), progressFrame('a', 1_000));
  assert.equal(await next(), 'event: ended\ndata: {"uploadId":"b","state":"terminated"}');
  assert.equal(await next(), fileFrame('finished', 'c'));
  assert.equal(await next(), fileFrame('thumbnails', 'c'));
  assert.equal(await next(), 'event: deleted\ndata: {"id":"d"}');
  assert.equal(await next(), progressFrame('e', 1_000));
  assert.deepEqual(looks, [['first'], ['c']]);
});

test('files are looked up together, one lookup at a time, however many finish at once', async (t) => {
  let [running, most, lookups] = [0, 0, 0];
  const { url, bus } = await serveEvents(t, async (fileIds) => {
    running += 1;
    lookups += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    return findAll(fileIds);
  });
  const { next } = await listenTo(t, url);
  for (let index = 0; index < 1_000; index += 1) bus.publish(finished(`f${index}`));
  for (let index = 0; index < 1_000; index += 1) assert.equal(await next(), fileFrame('finished', `f${index}`));
  assert.equal(most, 1);
  assert.ok(lookups <= 10, `${lookups} lookups`);
});

test('a file that is gone is left out', async (t) => {
  const { url, bus } = await serveEvents(t, async () => new Map());
  const { next } = await listenTo(t, url);
  bus.publish(finished('gone'));
  bus.publish({ type: 'deleted', fileId: 'last' });
  assert.equal(await next(), 'event: deleted\ndata: {"id":"last"}');
});

test('files that cannot be looked up are told when they can be, after what needs no lookup', async (t) => {
  const failures: unknown[] = [];
  let isBroken = true;
  const find: FindFiles = async (fileIds) => {
    if (isBroken) throw new Error('no database');
    return findAll(fileIds);
  };
  const { url, bus } = await serveEvents(t, find, { onFailure: (error) => failures.push(error) });
  const { next } = await listenTo(t, url);
  bus.publish(finished('f'));
  bus.publish({ type: 'deleted', fileId: 'other' });
  assert.equal(await next(), 'event: deleted\ndata: {"id":"other"}');
  bus.publish({ type: 'thumbnails', fileId: 'f' });
  isBroken = false;
  assert.equal(await next(), fileFrame('finished', 'f'));
  assert.equal(await next(), fileFrame('thumbnails', 'f'));
  assert.equal(failures.length, 1);
});

for (const [why, publish] of [
  ['events of other nodes were missed', (bus) => bus.publish({ type: 'missed' })],
  [
    'there is more to tell than is worth telling',
    (bus) => {
      for (let index = 0; index <= 10_000; index += 1) bus.publish(finished(`f${index}`));
    },
  ],
] as [string, (bus: ReturnType<typeof testBus>) => void][]) {
  test(`when ${why}, every reader is sent back to begin anew, and nothing is kept`, async (t) => {
    const { url, bus, stream } = await serveEvents(t, async () => new Map());
    const { next } = await listenTo(t, url);
    publish(bus);
    assert.equal(await next(), null);
    assert.deepEqual(stream.figures, { readers: 0, refusedReaders: 0, cutReaders: 1, pendingUploads: 0 });
    const again = await listenTo(t, url);
    bus.publish({ type: 'deleted', fileId: 'x' });
    assert.equal(await again.next(), 'event: deleted\ndata: {"id":"x"}');
  });
}

test('more readers than may be are turned away and told when to come back, until one leaves', async (t) => {
  const { url, stream } = await serveEvents(t, undefined, { maxReaders: 2 });
  const first = await listenTo(t, url);
  await listenTo(t, url);
  const refused = await fetch(`${url}/api/events`);
  assert.equal(refused.status, 503);
  assert.ok(Number(refused.headers.get('retry-after')) > 0);
  assert.equal(((await refused.json()) as { code: string }).code, 'too_many_readers');
  assert.equal(stream.figures.refusedReaders, 1);
  first.leave();
  while (stream.figures.readers === 2) await new Promise((resolve) => setImmediate(resolve));
  await listenTo(t, url);
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
  assert.equal(stream.figures.readers, 2);
  leave();
  while (stream.figures.readers > 1) await new Promise((resolve) => setImmediate(resolve));
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
  while (stream.figures.readers === 0) await new Promise((resolve) => setImmediate(resolve));
  const uploadId = 'x'.repeat(10_000);
  while (stream.figures.readers > 0) {
    bus.publish({ type: 'progress', uploadId, offset: 0, length: null });
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual([stream.figures.readers, stream.figures.cutReaders], [0, 1]);
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
