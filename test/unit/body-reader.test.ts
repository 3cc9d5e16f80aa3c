import assert from 'node:assert/strict';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { PassThrough, Readable } from 'node:stream';
import { mock, test } from 'node:test';
import { BodyReader } from '../../src/relay/body-reader.ts';

const never = () => new AbortController().signal;

async function readAll(reader: BodyReader): Promise<string> {
  let text = '';
  for (let chunk = await reader.next(); chunk !== null; chunk = await reader.next()) text += chunk.toString();
  return text;
}

test('a body comes out as it went in', async () => {
  using reader = new BodyReader(
    Readable.from([Buffer.from('ab'), Buffer.from('cd')], { objectMode: false }),
    1000,
    never(),
  );
  assert.equal(await readAll(reader), 'abcd');
  assert.equal(reader.end, 'complete');
});

test('a connection that breaks gives out what had arrived and says cut', async () => {
  const source = new PassThrough();
  using reader = new BodyReader(source, 1000, never());
  source.write('half');
  const first = await reader.next();
  source.destroy(new Error('ECONNRESET'));
  assert.equal(first?.toString(), 'half');
  assert.equal(await reader.next(), null);
  assert.equal(reader.end, 'cut');
});

test('an incoming message that ended early is cut, not complete', async () => {
  const source = Object.assign(new PassThrough(), { complete: false });
  using reader = new BodyReader(source, 1000, never());
  source.end('half');
  assert.equal(await readAll(reader), 'half');
  assert.equal(reader.end, 'cut');
});

test('a stop ends the reading while a chunk is awaited, and leaves the stream alive', async () => {
  const source = new PassThrough();
  const stop = new AbortController();
  using reader = new BodyReader(source, 1000, stop.signal);
  const waiting = reader.next();
  stop.abort();
  assert.equal(await waiting, null);
  assert.equal(reader.end, 'stopped');
  assert.equal(source.destroyed, false);
});

test('what had arrived before the stop is still given out', async () => {
  const source = new PassThrough();
  const stop = new AbortController();
  using reader = new BodyReader(source, 1000, stop.signal);
  source.write('kept');
  await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  assert.equal(await readAll(reader), 'kept');
  assert.equal(reader.end, 'stopped');
});

test('a body that was over before anyone read it is complete', async () => {
  const source = Readable.from([]);
  source.resume();
  await new Promise((resolve) => source.once('end', resolve));
  using reader = new BodyReader(source, 1000, never());
  assert.equal(await reader.next(), null);
  assert.equal(reader.end, 'complete');
});

test('silence ends the body; time does not run while nobody waits for a chunk', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => mock.timers.reset());
  const source = new PassThrough();
  using reader = new BodyReader(source, 1000, never());
  mock.timers.tick(5000);
  source.write('late');
  assert.equal((await reader.next())?.toString(), 'late');
  const waiting = reader.next();
  await Promise.resolve();
  mock.timers.tick(1000);
  assert.equal(await waiting, null);
  assert.equal(reader.end, 'idle');
});

test('a client that is faster than we are is paused, and goes on when we do', async () => {
  const source = new PassThrough({ highWaterMark: 64 * 1024 });
  using reader = new BodyReader(source, 1000, never());
  const block = Buffer.alloc(64 * 1024, 1);
  let accepted = 0;
  while (source.write(block)) accepted += 1;
  for (let i = 0; i < 16; i += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    if (!source.writableNeedDrain) source.write(block);
  }
  assert.equal(source.isPaused(), true);
  source.end();
  let bytes = 0;
  for (let chunk = await reader.next(); chunk !== null; chunk = await reader.next()) bytes += chunk.length;
  assert.equal(bytes % block.length, 0);
  assert.ok(bytes > accepted * block.length);
  assert.equal(reader.end, 'complete');
});

test('a chunk of a request is freed when it was taken; what interruptions give out is freed as often as one likes', async () => {
  const source = new IncomingMessage(new Socket());
  using reader = new BodyReader(source, 1000, never());
  for (let times = 0; times < 3; times += 1) {
    reader.interrupt();
    const nothing = await reader.next();
    assert.equal(nothing?.length, 0);
    reader.free(nothing as Buffer);
  }
  const [own, shared] = [Buffer.allocUnsafeSlow(8), Buffer.allocUnsafeSlow(9).subarray(1)];
  for (const sent of [own, shared]) {
    source.push(sent);
    const chunk = (await reader.next()) as Buffer;
    assert.equal(chunk.length, 8);
    reader.free(chunk);
  }
  assert.deepEqual([own.length, shared.length], [0, 8]);
});
