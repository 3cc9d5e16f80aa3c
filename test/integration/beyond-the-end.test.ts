/** Bytes past an upload's length are refused, however they come: also those of a body that does not say how long it is. */
import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import { BufferClosedError, PartBuffer } from '../../src/relay/part-buffer.ts';
import { UploadSizeExceededError } from '../../src/relay/relay-errors.ts';
import { eventually } from '../support/eventually.ts';
import { exchange } from '../support/http-exchange.ts';
import { startServerProcess } from '../support/server-process.ts';
import { bodyOf, patternBytes, startTestRelay } from '../support/test-relay.ts';
import { createUpload, OFFSET_BODY, patch, TUS } from '../support/tus-client.ts';

const CONTENT = patternBytes(300);
type TestRelay = Awaited<ReturnType<typeof startTestRelay>>;

/** A PATCH of all bytes whose end has not come, on a node that needs the memory that it holds. */
async function patchUnderPressure(relay: TestRelay) {
  const { upload } = await relay.relay.create({ owner: 'public', lengthBytes: 300, metadata: null, body: null });
  const source = new PassThrough();
  const writing = relay.relay.append({
    ...{ uploadId: upload.uploadId, offsetBytes: 0, declaredLengthBytes: null },
    body: { source, declaredBytes: null, stop: new AbortController().signal },
  });
  source.write(CONTENT);
  await eventually('the bytes are in memory', async () => relay.budget.figures.usedBytes > 0 || undefined);
  const taken = relay.budget.largestGrantBytes - relay.budget.figures.usedBytes;
  assert.ok(relay.budget.take(taken));
  const other = new PartBuffer(relay.budget, 100_000, () => {});
  const refused = assert.rejects(Promise.resolve(other.append(patternBytes(100_000))), BufferClosedError);
  return {
    uploadId: upload.uploadId,
    source,
    writing,
    async relax() {
      other.release();
      relay.budget.give(taken);
      await refused;
    },
  };
}

test('with memory spent, a byte after the last one is still noticed', async (t) => {
  const relay = await startTestRelay(t);
  const { uploadId, source, writing, relax } = await patchUnderPressure(relay);
  const refused = assert.rejects(writing, UploadSizeExceededError);
  source.end(Buffer.from('!'));
  await refused;
  await relax();
  const upload = await relay.relay.look(uploadId);
  assert.deepEqual([upload.state, upload.offsetBytes], ['open', 0]);
});

test('with memory spent, a body that ends at the length is finished when its end has come', async (t) => {
  const relay = await startTestRelay(t);
  const { source, writing, relax } = await patchUnderPressure(relay);
  source.end();
  assert.equal((await writing).upload.state, 'finished');
  await relax();
});

test('with memory spent, a body whose end never comes is finished when it has been silent for too long', async (t) => {
  const relay = await startTestRelay(t, { idleBodyMs: 50 });
  const { writing, relax } = await patchUnderPressure(relay);
  const { upload, bodyEnd } = await writing;
  assert.deepEqual([upload.state, bodyEnd], ['finished', 'idle']);
  await relax();
});

test('a repeated last request may bring no byte, in a chunked body neither', async (t) => {
  const relay = await startTestRelay(t);
  const { upload } = await relay.relay.create({
    ...{ owner: 'public', lengthBytes: 300, metadata: null },
    body: bodyOf(CONTENT),
  });
  const repeat = (chunks: Buffer[]) =>
    relay.relay.append({
      ...{ uploadId: upload.uploadId, offsetBytes: 300, declaredLengthBytes: null },
      body: { source: Readable.from(chunks), declaredBytes: null, stop: new AbortController().signal },
    });
  await assert.rejects(repeat([Buffer.from('!')]), UploadSizeExceededError);
  assert.equal((await repeat([])).upload.state, 'finished');
});

test('over HTTP: chunked bodies past the end are 413, an empty one at the end is 204', async (t) => {
  const server = await startServerProcess(t, { env: { LOG_LEVEL: 'warn' } });
  const files = `${server.url}/files`;
  const chunked = { 'Transfer-Encoding': 'chunked' };
  const url = await createUpload(files, CONTENT.length);
  const tooLong = Buffer.concat([CONTENT, Buffer.from('!')]);
  assert.equal((await patch(url, 0, tooLong, chunked)).status, 413);
  assert.equal((await patch(url, 0, CONTENT, chunked)).status, 204);
  const repeated = await patch(url, CONTENT.length, Buffer.from('!'), chunked);
  assert.equal(repeated.status, 413);
  assert.match(String(repeated.body), /^ERR_UPLOAD_SIZE_EXCEEDED: /);
  assert.equal((await patch(url, CONTENT.length, Buffer.alloc(0), chunked)).status, 204);
  for (const length of [CONTENT.length, 0]) {
    const body = length === 0 ? Buffer.from('!') : tooLong;
    const headers = { ...TUS, ...OFFSET_BODY, ...chunked, 'Upload-Length': length };
    assert.equal((await exchange(files, { method: 'POST', headers, body })).status, 413, `creation of ${length} bytes`);
  }
  assert.deepEqual((await exchange(url, { method: 'GET' })).body, CONTENT);
  assert.deepEqual(server.loggedErrors(), []);
});
