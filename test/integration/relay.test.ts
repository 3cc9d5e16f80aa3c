import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { runCompletionJob } from '../../src/relay/completion-job.ts';
import { BufferClosedError, PartBuffer } from '../../src/relay/part-buffer.ts';
import {
  InvalidUploadLengthError,
  OffsetMismatchError,
  UploadCompletingError,
  UploadGoneError,
  UploadNotFoundError,
  UploadSizeExceededError,
  WriterFencedError,
} from '../../src/relay/relay-errors.ts';
import { eventually } from '../support/eventually.ts';
import { bodyOf, completionParts, patternBytes, startNode, startTestRelay } from '../support/test-relay.ts';

type TestRelay = Awaited<ReturnType<typeof startTestRelay>>;

async function create(relay: TestRelay, lengthBytes: number | null, metadata: string | null = null) {
  const { upload } = await relay.relay.create({ owner: 'public', lengthBytes, metadata, body: null });
  return upload.uploadId;
}

function patch(relay: TestRelay, uploadId: string, offset: number, bytes: Uint8Array, declared: number | null = null) {
  return relay.relay.append({ uploadId, offsetBytes: offset, declaredLengthBytes: declared, body: bodyOf(bytes) });
}

async function storedBytes(relay: TestRelay, uploadId: string): Promise<Buffer | undefined> {
  const upload = await relay.catalog.find(uploadId);
  return relay.storage.bytesOf(upload?.objectKey ?? '');
}

/** Nothing but the objects of finished uploads, once the discards are through. */
async function assertOnlyObjects(relay: TestRelay, uploadIds: string[]) {
  relay.discards.kick();
  await relay.discards.idle();
  assert.deepEqual(relay.failures, []);
  const keys = await Promise.all(uploadIds.map(async (id) => (await relay.catalog.find(id))?.objectKey));
  assert.deepEqual([...relay.storage.objects.keys()].sort(), keys.sort());
  assert.equal(relay.storage.multiparts.size, 0);
}

test('creating asks nothing of S3, and a file that fits a part is one PutObject', async (t) => {
  const relay = await startTestRelay(t);
  const content = patternBytes(700);
  const uploadId = await create(relay, 700, 'filename cGhvdG8uanBn,filetype aW1hZ2UvanBlZw==');
  assert.deepEqual(relay.storage.counts(), {});
  const { upload, bodyEnd } = await patch(relay, uploadId, 0, content);
  assert.equal(bodyEnd, 'complete');
  assert.equal(upload.state, 'finished');
  assert.equal(upload.offsetBytes, 700);
  assert.deepEqual(relay.storage.counts(), { PutObject: 1 });
  assert.ok((await storedBytes(relay, uploadId))?.equals(content));
  assert.deepEqual(relay.finished, [uploadId]);
  const stored = relay.storage.objects.get(upload.objectKey);
  assert.equal(stored?.headers.contentType, 'image/jpeg');
  assert.match(stored?.headers.contentDisposition ?? '', /photo\.jpg/);
  await assertOnlyObjects(relay, [uploadId]);
});

test('n parts in one request take n + 2 requests to S3', async (t) => {
  const relay = await startTestRelay(t);
  const content = patternBytes(5_500);
  const uploadId = await create(relay, 5_500);
  const { upload } = await patch(relay, uploadId, 0, content);
  assert.equal(upload.state, 'finished');
  assert.deepEqual(relay.storage.counts(), { CreateMultipartUpload: 1, UploadPart: 6, CompleteMultipartUpload: 1 });
  assert.ok((await storedBytes(relay, uploadId))?.equals(content));
  assert.deepEqual(
    relay.jobs.map((job) => job.queue),
    ['upload-completion'],
  );
  await assertOnlyObjects(relay, [uploadId]);
});

test('a request that ends inside a part leaves one segment, which goes when the part is stored', async (t) => {
  const relay = await startTestRelay(t);
  const content = patternBytes(2_500);
  const uploadId = await create(relay, 2_500);
  await patch(relay, uploadId, 0, content.subarray(0, 300));
  assert.deepEqual(relay.storage.counts(), { PutObject: 1 });
  const { upload } = await patch(relay, uploadId, 300, content.subarray(300, 600));
  assert.equal(upload.offsetBytes, 600);
  assert.equal(upload.writer, null);
  await patch(relay, uploadId, 600, content.subarray(600));
  assert.ok((await storedBytes(relay, uploadId))?.equals(content));
  await assertOnlyObjects(relay, [uploadId]);
});

test('a small file in many requests is still a single object without a multipart upload', async (t) => {
  const relay = await startTestRelay(t);
  const content = patternBytes(1_000);
  const uploadId = await create(relay, 1_000);
  for (let offset = 0; offset < 1_000; offset += 100) {
    await patch(relay, uploadId, offset, content.subarray(offset, offset + 100));
  }
  assert.equal(relay.storage.counts().CreateMultipartUpload, undefined);
  assert.ok((await storedBytes(relay, uploadId))?.equals(content));
  await assertOnlyObjects(relay, [uploadId]);
});

test('whatever the requests, their chunks and the part size: the object is the file, and offsets only grow', async (t) => {
  const relay = await startTestRelay(t);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 2_300 }), { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 1, max: 700 }),
      fc.boolean(),
      async (sizes, chunkBytes, deferred) => {
        const length = sizes.reduce((sum, size) => sum + size, 0);
        const content = patternBytes(length, length + chunkBytes);
        const uploadId = await create(relay, deferred || length === 0 ? null : length);
        let offset = 0;
        for (const [place, size] of sizes.entries()) {
          const bytes = content.subarray(offset, offset + size);
          const chunks = [];
          for (let at = 0; at < bytes.length; at += chunkBytes) chunks.push(bytes.subarray(at, at + chunkBytes));
          const isLast = place === sizes.length - 1;
          const { upload } = await relay.relay.append({
            uploadId,
            offsetBytes: offset,
            declaredLengthBytes: isLast ? length : null,
            body: {
              source: Readable.from(chunks, { objectMode: false }),
              declaredBytes: null,
              stop: new AbortController().signal,
            },
          });
          offset += size;
          assert.equal(upload.offsetBytes, offset);
          assert.equal(upload.writer, null);
        }
        assert.equal((await relay.relay.look(uploadId)).state, 'finished');
        assert.ok((await storedBytes(relay, uploadId))?.equals(content));
        await relay.relay.terminate(uploadId);
        await assertOnlyObjects(relay, []);
      },
    ),
    { numRuns: 40 },
  );
});

test('a connection that breaks keeps every byte that had arrived', async (t) => {
  const relay = await startTestRelay(t);
  const content = patternBytes(4_000);
  const uploadId = await create(relay, 4_000);
  const source = new PassThrough();
  const appending = relay.relay.append({
    uploadId,
    offsetBytes: 0,
    declaredLengthBytes: null,
    body: { source, declaredBytes: 4_000, stop: new AbortController().signal },
  });
  source.write(content.subarray(0, 2_345));
  await new Promise((resolve) => setImmediate(resolve));
  source.destroy(new Error('ECONNRESET'));
  const { upload, bodyEnd } = await appending;
  assert.equal(bodyEnd, 'cut');
  assert.equal(upload.offsetBytes, 2_345);
  await patch(relay, uploadId, 2_345, content.subarray(2_345));
  assert.ok((await storedBytes(relay, uploadId))?.equals(content));
  await assertOnlyObjects(relay, [uploadId]);
});

test('a request that is asked to let go stores what it has and stops', async (t) => {
  const relay = await startTestRelay(t);
  const content = patternBytes(4_000);
  const uploadId = await create(relay, 4_000);
  const source = new PassThrough();
  const stop = new AbortController();
  const appending = relay.relay.append({
    uploadId,
    offsetBytes: 0,
    declaredLengthBytes: null,
    body: { source, declaredBytes: 4_000, stop: stop.signal },
  });
  source.write(content.subarray(0, 1_500));
  await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  const { upload, bodyEnd } = await appending;
  assert.equal(bodyEnd, 'stopped');
  assert.equal(upload.offsetBytes, 1_500);
  assert.equal(upload.writer, null);
});

test('a length of 0 has an object and a record before the answer', async (t) => {
  const relay = await startTestRelay(t);
  const { upload } = await relay.relay.create({ owner: 'public', lengthBytes: 0, metadata: null, body: null });
  assert.equal(upload.state, 'finished');
  assert.equal((await storedBytes(relay, upload.uploadId))?.length, 0);
  assert.deepEqual(relay.finished, [upload.uploadId]);
});

test('a body that comes with the creation costs no second look at the catalog and one request to S3', async (t) => {
  const relay = await startTestRelay(t);
  const content = patternBytes(400);
  const { upload } = await relay.relay.create({
    owner: 'public',
    lengthBytes: 400,
    metadata: null,
    body: bodyOf(content),
  });
  assert.equal(upload.state, 'finished');
  assert.deepEqual(relay.storage.counts(), { PutObject: 1 });
  assert.ok((await storedBytes(relay, upload.uploadId))?.equals(content));
});

test('a deferred length may be declared after the last byte, inside a part and at the end of one', async (t) => {
  const relay = await startTestRelay(t);
  for (const length of [400, 1_000, 1_400, 2_000]) {
    const content = patternBytes(length);
    const uploadId = await create(relay, null);
    await patch(relay, uploadId, 0, content);
    const { upload } = await patch(relay, uploadId, length, Buffer.alloc(0), length);
    assert.equal(upload.state, 'finished', `length ${length}`);
    assert.ok((await storedBytes(relay, uploadId))?.equals(content));
  }
});

test('a length that contradicts what is stored is refused and changes nothing', async (t) => {
  const relay = await startTestRelay(t);
  const uploadId = await create(relay, null);
  await patch(relay, uploadId, 0, patternBytes(300));
  await assert.rejects(patch(relay, uploadId, 300, Buffer.alloc(0), 299), InvalidUploadLengthError);
  const fixed = await create(relay, 500);
  await assert.rejects(patch(relay, fixed, 0, Buffer.alloc(0), 501), InvalidUploadLengthError);
  assert.equal((await relay.relay.look(uploadId)).lengthBytes, null);
});

test('a byte too much is refused, declared or not, and what is stored stays', async (t) => {
  const relay = await startTestRelay(t);
  const uploadId = await create(relay, 1_500);
  await patch(relay, uploadId, 0, patternBytes(100));
  await assert.rejects(patch(relay, uploadId, 100, patternBytes(1_401)), UploadSizeExceededError);
  const chunks = Array.from({ length: 15 }, (_, i) => patternBytes(1_401).subarray(i * 100, (i + 1) * 100));
  const undeclared = { ...bodyOf(patternBytes(0)), source: Readable.from(chunks), declaredBytes: null };
  await assert.rejects(
    relay.relay.append({ uploadId, offsetBytes: 100, declaredLengthBytes: null, body: undeclared }),
    UploadSizeExceededError,
  );
  const upload = await relay.relay.look(uploadId);
  assert.equal(upload.state, 'open');
  assert.equal(upload.writer, null);
  // The tail and 900 bytes more make a whole part, which is right whatever comes after it.
  assert.equal(upload.offsetBytes, 1_000);
  const rest = Buffer.concat([patternBytes(100), patternBytes(1_401).subarray(0, 1_400)]).subarray(1_000);
  await patch(relay, uploadId, 1_000, rest);
  assert.equal((await relay.relay.look(uploadId)).state, 'finished');
});

test('another offset than the stored one is a mismatch, an unknown upload is not found', async (t) => {
  const relay = await startTestRelay(t);
  const uploadId = await create(relay, 1_500);
  await assert.rejects(patch(relay, uploadId, 1, patternBytes(1)), OffsetMismatchError);
  await assert.rejects(patch(relay, '00000000-0000-4000-8000-000000000000', 0, patternBytes(1)), UploadNotFoundError);
});

test('a repeated last request whose answer was lost gets the same answer', async (t) => {
  const relay = await startTestRelay(t);
  const uploadId = await create(relay, 10);
  await patch(relay, uploadId, 0, patternBytes(10));
  const { upload } = await patch(relay, uploadId, 10, Buffer.alloc(0));
  assert.equal(upload.state, 'finished');
  await assert.rejects(patch(relay, uploadId, 10, patternBytes(1)), UploadSizeExceededError);
  await assert.rejects(patch(relay, uploadId, 0, patternBytes(10)), OffsetMismatchError);
  assert.deepEqual(relay.finished, [uploadId]);
});

test('errors and lost replies of S3 are repeated from the buffer, and the next writer is told', async (t) => {
  for (const operation of ['PutObject', 'CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload']) {
    for (const kind of ['fail', 'drop-reply'] as const) {
      await t.test(`${operation}: ${kind}`, async (t) => {
        const relay = await startTestRelay(t);
        let left = 2;
        relay.storage.fate = (call) => (call.operation === operation && left-- > 0 ? { kind } : { kind: 'ok' });
        const content = patternBytes(3_300);
        const uploadId = await create(relay, 3_300);
        const first = await patch(relay, uploadId, 0, content.subarray(0, 2_400));
        assert.equal(first.upload.offsetBytes, 2_400);
        const row = await relay.catalog.find(uploadId);
        assert.equal(row?.writer === null, operation === 'CompleteMultipartUpload', 'an unclean end keeps the token');
        const { upload } = await patch(relay, uploadId, 2_400, content.subarray(2_400));
        assert.equal(upload.state, 'finished');
        assert.equal(upload.dirty, true);
        assert.ok((await storedBytes(relay, uploadId))?.equals(content));
        assert.deepEqual(relay.finished, [uploadId]);
      });
    }
  }
});

test('what S3 refuses is not repeated: the request fails, and the offset stays', async (t) => {
  const relay = await startTestRelay(t);
  const uploadId = await create(relay, 2_500);
  relay.storage.fate = () => ({ kind: 'refuse', code: 'InvalidStorageClass' });
  await assert.rejects(patch(relay, uploadId, 0, patternBytes(2_500)), /InvalidStorageClass/);
  assert.equal(relay.storage.calls.length, 1);
  const upload = await relay.catalog.find(uploadId);
  assert.equal(upload?.offsetBytes, 0);
  assert.equal(upload?.writer, null, 'a definite no is a clean end');
});

test('with S3 away, what was committed before stays, and the upload goes on afterwards', async (t) => {
  const relay = await startTestRelay(t);
  const content = patternBytes(6_200);
  const uploadId = await create(relay, 6_200);
  relay.storage.fate = (call) => ((call.partNumber ?? 0) >= 3 ? { kind: 'fail' } : { kind: 'ok' });
  await assert.rejects(patch(relay, uploadId, 0, content), /InternalError/);
  assert.equal((await relay.relay.look(uploadId)).offsetBytes, 2_000);
  relay.storage.fate = () => ({ kind: 'ok' });
  await patch(relay, uploadId, 2_000, content.subarray(2_000));
  assert.ok((await storedBytes(relay, uploadId))?.equals(content));
});

test('parts that were contested are stored as copies, too', async (t) => {
  const relay = await startTestRelay(t);
  const content = patternBytes(4_000);
  const uploadId = await create(relay, 4_000);
  relay.storage.fate = (call) => (call.partNumber === 2 ? { kind: 'fail' } : { kind: 'ok' });
  await assert.rejects(patch(relay, uploadId, 0, content), /InternalError/);
  relay.storage.fate = () => ({ kind: 'ok' });
  await patch(relay, uploadId, 1_000, content.subarray(1_000, 3_500));
  const parts = await relay.catalog.findParts(uploadId);
  assert.equal(parts[1]?.partNumber, 2);
  assert.ok(relay.storage.bytesOf(parts[1]?.copyKey ?? '')?.equals(content.subarray(1_000, 2_000)));
});

test('a Complete that fails leaves the upload completing: no answer says finished, and a look later finishes it', async (t) => {
  const relay = await startTestRelay(t);
  const content = patternBytes(2_500);
  const uploadId = await create(relay, 2_500);
  relay.storage.fate = (call) => (call.operation === 'CompleteMultipartUpload' ? { kind: 'fail' } : { kind: 'ok' });
  await assert.rejects(patch(relay, uploadId, 0, content), /InternalError/);
  await assert.rejects(relay.relay.look(uploadId), UploadCompletingError);
  assert.deepEqual(relay.finished, []);
  relay.storage.fate = () => ({ kind: 'ok' });
  assert.equal((await relay.relay.look(uploadId)).state, 'finished');
  assert.deepEqual(relay.finished, [uploadId]);
  assert.ok((await storedBytes(relay, uploadId))?.equals(content));
});

test('the tail is removed only when the object is there', async (t) => {
  const relay = await startTestRelay(t);
  const content = patternBytes(2_500);
  const uploadId = await create(relay, 2_500);
  await patch(relay, uploadId, 0, content.subarray(0, 2_300));
  relay.storage.fate = ({ operation }) => (operation === 'CompleteMultipartUpload' ? { kind: 'fail' } : { kind: 'ok' });
  await assert.rejects(patch(relay, uploadId, 2_300, content.subarray(2_300)), /InternalError/);
  // Whoever removes what is not needed any more while the upload is completing.
  relay.discards.kick();
  await relay.discards.idle();
  assert.equal(relay.storage.counts().DeleteObjects, undefined);
  relay.storage.fate = () => ({ kind: 'ok' });
  assert.equal((await relay.relay.look(uploadId)).state, 'finished');
  await assertOnlyObjects(relay, [uploadId]);
});

test('a denial is asked about again, and is believed when it stays', async (t) => {
  const relay = await startTestRelay(t);
  const uploadId = await create(relay, 700);
  let denials = 2;
  relay.storage.fate = ({ operation }) => {
    if (operation !== 'PutObject' || denials === 0) return { kind: 'ok' };
    denials -= 1;
    return { kind: 'refuse', code: 'AccessDenied' };
  };
  assert.equal((await patch(relay, uploadId, 0, patternBytes(700))).upload.state, 'finished');
  denials = 100;
  const other = await create(relay, 700);
  await assert.rejects(patch(relay, other, 0, patternBytes(700)), /AccessDenied/);
  assert.equal(denials, 97);
});

test('the job finishes a completion without the client, and finds nothing to do after it', async (t) => {
  const relay = await startTestRelay(t);
  const uploadId = await create(relay, 2_500);
  relay.storage.fate = (call) => (call.operation === 'CompleteMultipartUpload' ? { kind: 'fail' } : { kind: 'ok' });
  await assert.rejects(patch(relay, uploadId, 0, patternBytes(2_500)), /InternalError/);
  relay.storage.fate = () => ({ kind: 'ok' });
  const run = () => runCompletionJob({ uploadId }, completionParts(relay));
  await run();
  await run();
  assert.deepEqual(relay.finished, [uploadId]);
});

test('two nodes that complete at one time record the file once', async (t) => {
  const relay = await startTestRelay(t);
  const other = startNode(relay.database, relay.storage);
  const content = patternBytes(2_500);
  const uploadId = await create(relay, 2_500);
  relay.storage.fate = (call) => (call.operation === 'CompleteMultipartUpload' ? { kind: 'fail' } : { kind: 'ok' });
  await assert.rejects(patch(relay, uploadId, 0, content), /InternalError/);
  relay.storage.fate = () => ({ kind: 'ok' });
  const rows = await Promise.all([relay.completer.complete(uploadId), other.completer.complete(uploadId)]);
  assert.deepEqual(
    rows.map((row) => row.state),
    ['finished', 'finished'],
  );
  assert.deepEqual([...relay.finished, ...other.finished], [uploadId]);
});

test('a writer whose multipart upload the provider removed is told so, however many parts it has on their way', async (t) => {
  const relay = await startTestRelay(t);
  const content = patternBytes(8_000);
  const uploadId = await create(relay, 8_000);
  await patch(relay, uploadId, 0, content.subarray(0, 2_000));
  relay.storage.multiparts.clear();
  await assert.rejects(patch(relay, uploadId, 2_000, content.subarray(2_000)), UploadGoneError);
  assert.equal((await relay.catalog.find(uploadId))?.state, 'lost');
});

test('a fresh node goes on where a killed one stopped', async (t) => {
  const relay = await startTestRelay(t);
  const content = patternBytes(3_700);
  const uploadId = await create(relay, 3_700);
  await patch(relay, uploadId, 0, content.subarray(0, 1_300));
  // The killed node had claimed the upload and never came back.
  await relay.catalog.claim({
    ...{ uploadId, offsetBytes: 1_300, token: '11111111-1111-4111-8111-111111111111', freshKeyName: 'unused' },
    ...{ declaredLengthBytes: null, maxParts: 10_000, partsAhead: 4, onlyAfterSilenceSecs: null },
  });
  const restarted = startNode(relay.database, relay.storage);
  const { upload } = await restarted.relay.append({
    uploadId,
    offsetBytes: (await restarted.relay.look(uploadId)).offsetBytes,
    declaredLengthBytes: null,
    body: bodyOf(content.subarray(1_300)),
  });
  assert.equal(upload.state, 'finished');
  assert.ok((await storedBytes(relay, uploadId))?.equals(content));
  assert.deepEqual(restarted.finished, [uploadId]);
});

test('of two nodes with whole files at one offset exactly one wins, and the object is its file', async (t) => {
  const relay = await startTestRelay(t);
  const other = startNode(relay.database, relay.storage);
  for (const length of [600, 2_700]) {
    const files = [patternBytes(length, 1), patternBytes(length, 2)] as const;
    const uploadId = await create(relay, length);
    const outcomes = await Promise.allSettled(
      [relay, other].map((node, i) =>
        node.relay.append({
          uploadId,
          offsetBytes: 0,
          declaredLengthBytes: null,
          body: bodyOf(files[i] as Buffer),
        }),
      ),
    );
    const winner = outcomes.findIndex((outcome) => outcome.status === 'fulfilled');
    assert.notEqual(winner, -1);
    assert.equal(outcomes.filter((outcome) => outcome.status === 'fulfilled').length, 1);
    assert.ok((await storedBytes(relay, uploadId))?.equals(files[winner] as Buffer), `length ${length}`);
  }
});

test('a writer whose tail is taken up and removed by another one is told of the other one, not of damage', async (t) => {
  const relay = await startTestRelay(t);
  const content = patternBytes(900);
  const uploadId = await create(relay, 900);
  await patch(relay, uploadId, 0, content.subarray(0, 300));
  const [asked, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  relay.storage.fate = async ({ operation }) => {
    if (operation !== 'GetObject') return { kind: 'ok' };
    asked.resolve();
    await goOn.promise;
    return { kind: 'ok' };
  };
  // Another node, which has to fetch what this one remembers.
  const slow = patch({ ...relay, ...startNode(relay.database, relay.storage) }, uploadId, 300, content.subarray(300));
  const refused = assert.rejects(slow, WriterFencedError);
  await asked.promise;
  await patch(relay, uploadId, 300, content.subarray(300));
  await assertOnlyObjects(relay, [uploadId]);
  goOn.resolve();
  await refused;
  assert.ok((await storedBytes(relay, uploadId))?.equals(content));
});

test('a segment never gets the key of one before it, whose discard would take it along', async (t) => {
  const relay = await startTestRelay(t);
  const content = patternBytes(2_500);
  const uploadId = await create(relay, 2_500);
  const source = new PassThrough();
  const body = { source, declaredBytes: null, stop: new AbortController().signal };
  const writing = relay.relay.append({ uploadId, offsetBytes: 0, declaredLengthBytes: null, body });
  source.write(content.subarray(0, 300));
  await eventually('the bytes are in memory', async () => relay.budget.figures.usedBytes > 0 || undefined);
  // Somebody needs more memory than there is: what has gone longest without progress is stored as a segment.
  const taken = relay.budget.largestGrantBytes - relay.budget.figures.usedBytes;
  assert.ok(relay.budget.take(taken));
  const other = new PartBuffer(relay.budget, 100_000, () => {});
  const refused = assert.rejects(Promise.resolve(other.append(patternBytes(100_000))), BufferClosedError);
  const offset = async () => (await relay.catalog.find(uploadId))?.offsetBytes;
  await eventually('it is flushed', async () => (await offset()) === 300 || undefined);
  other.release();
  relay.budget.give(taken);
  await refused;
  // The segment goes into a part, and what follows the part becomes a segment again.
  source.end(content.subarray(300, 1_700));
  assert.equal((await writing).upload.offsetBytes, 1_700);
  relay.discards.kick();
  await relay.discards.idle();
  await patch({ ...relay, ...startNode(relay.database, relay.storage) }, uploadId, 1_700, content.subarray(1_700));
  assert.ok((await storedBytes(relay, uploadId))?.equals(content));
  await assertOnlyObjects(relay, [uploadId]);
});

test('terminating takes everything out of the bucket, and stays true', async (t) => {
  const relay = await startTestRelay(t);
  const open = await create(relay, 4_000);
  await patch(relay, open, 0, patternBytes(2_300));
  const finished = await create(relay, 10);
  await patch(relay, finished, 0, patternBytes(10));
  for (const uploadId of [open, finished]) {
    await relay.relay.terminate(uploadId);
    await assert.rejects(relay.relay.look(uploadId), UploadGoneError);
    await assert.rejects(relay.relay.terminate(uploadId), UploadGoneError);
    await assert.rejects(patch(relay, uploadId, 0, patternBytes(1)), UploadGoneError);
  }
  await assertOnlyObjects(relay, []);
});

test('a writer whose upload is terminated under it stops, and leaves nothing that the discards do not know', async (t: TestContext) => {
  const relay = await startTestRelay(t);
  const uploadId = await create(relay, 4_000);
  const source = new PassThrough();
  const appending = relay.relay.append({
    uploadId,
    offsetBytes: 0,
    declaredLengthBytes: null,
    body: { source, declaredBytes: 4_000, stop: new AbortController().signal },
  });
  source.write(patternBytes(1_500));
  await new Promise((resolve) => setImmediate(resolve));
  await relay.relay.terminate(uploadId);
  source.end(patternBytes(2_500));
  await assert.rejects(appending);
  assert.deepEqual(relay.finished, []);
  assert.equal((await relay.catalog.find(uploadId))?.state, 'terminated');
});
