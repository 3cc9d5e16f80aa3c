/** A creation whose body cannot be stored: what the client is told, and what becomes of the upload. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { DatabaseUnavailableError } from '../../src/catalog/database-errors.ts';
import type { RequestBody } from '../../src/relay/body-reader.ts';
import {
  UploadCompletingError,
  UploadGoneError,
  UploadSizeExceededError,
  WriterFencedError,
} from '../../src/relay/relay-errors.ts';
import { MemorySpentError } from '../../src/relay/tail.ts';
import { S3Error } from '../../src/s3/s3-errors.ts';
import { startDevS3Process } from '../support/dev-s3-process.ts';
import { startServerProcess } from '../support/server-process.ts';
import { bodyOf, patternBytes, startTestRelay } from '../support/test-relay.ts';
import { head, OFFSET_BODY, patch, post } from '../support/tus-client.ts';

const UPLOAD_ID = '11111111-2222-4333-8444-555555555555';
const CONTENT = patternBytes(2_500);
type TestRelay = Awaited<ReturnType<typeof startTestRelay>>;

function createWith(
  relay: TestRelay,
  body: RequestBody = bodyOf(CONTENT),
  lengthBytes: number | null = CONTENT.length,
) {
  return relay.relay.create({ uploadId: UPLOAD_ID, owner: 'public', lengthBytes, metadata: null, body });
}

/** The database loses its connection at the commit of the second part; `isAway`: and does not come back. */
function loseDatabase(relay: TestRelay, isAway: boolean): void {
  const lost = async () => {
    throw new DatabaseUnavailableError('unknown', 'Connection terminated');
  };
  const { commitPart } = relay.catalog;
  relay.catalog.commitPart = (step) => {
    if (step.part.partNumber === 1) return commitPart.call(relay.catalog, step);
    if (isAway) relay.catalog.find = lost;
    return lost();
  };
}

function failLook(relay: TestRelay, error: Error): void {
  relay.catalog.commitPart = () => Promise.reject(error);
}

test('a creation is answered with an address only when the client can go on there', async (t) => {
  /** What goes wrong → the offset that a 201 names (null: none), and the state of the upload. */
  const goesOn: [string, (relay: TestRelay) => void, { offset: number | null; state: string; code: string }][] = [
    [
      'S3 fails after the first part',
      ({ storage }) => {
        storage.fate = ({ partNumber }) => ((partNumber ?? 0) > 1 ? { kind: 'fail' } : { kind: 'ok' });
      },
      { offset: 1_000, state: 'open', code: 'storage_unavailable' },
    ],
    [
      'S3 says "slow down" and never stops',
      ({ storage }) => {
        storage.fate = () => ({ kind: 'fail', code: 'SlowDown' });
      },
      { offset: 0, state: 'open', code: 'storage_unavailable' },
    ],
    [
      'the answer to a commit is lost',
      (relay) => loseDatabase(relay, false),
      { offset: 1_000, state: 'open', code: 'database_unavailable' },
    ],
    [
      'the database goes away',
      (relay) => loseDatabase(relay, true),
      { offset: null, state: 'open', code: 'database_unavailable' },
    ],
    [
      'memory and disk are spent',
      (relay) => failLook(relay, new MemorySpentError(new Error('no space'))),
      { offset: 0, state: 'open', code: 'memory_spent' },
    ],
    [
      'another request takes the upload over',
      (relay) => failLook(relay, new WriterFencedError(UPLOAD_ID)),
      { offset: 0, state: 'open', code: 'upload_taken_over' },
    ],
    [
      'S3 does not put the object together',
      ({ storage }) => {
        storage.fate = (call) => (call.operation === 'CompleteMultipartUpload' ? { kind: 'fail' } : { kind: 'ok' });
      },
      { offset: CONTENT.length, state: 'completing', code: 'storage_unavailable' },
    ],
    [
      'S3 knows another part than the one that was stored: the job restores it',
      ({ storage }) => {
        storage.fate = (call) =>
          call.operation === 'CompleteMultipartUpload' ? { kind: 'refuse', code: 'InvalidPart' } : { kind: 'ok' };
      },
      { offset: CONTENT.length, state: 'completing', code: 'storage_refused' },
    ],
  ];
  for (const [name, breakIt, expected] of goesOn) {
    await t.test(`${name}: 201`, async (t) => {
      const relay = await startTestRelay(t);
      const { find } = relay.catalog;
      breakIt(relay);
      const { upload, offsetBytes, failure } = await createWith(relay);
      assert.equal(upload.uploadId, UPLOAD_ID);
      assert.equal(offsetBytes, expected.offset);
      assert.equal((failure as { code?: string }).code, expected.code, 'it is told, so that it can be logged');
      assert.equal((await find.call(relay.catalog, UPLOAD_ID))?.state, expected.state);
    });
  }

  const endsIt: [string, (relay: TestRelay) => void, { error: object; state: string }][] = [
    [
      'S3 refuses',
      ({ storage }) => {
        storage.fate = () => ({ kind: 'refuse', code: 'AccessDenied' });
      },
      { error: { code: 'storage_refused', status: 502 }, state: 'terminated' },
    ],
    [
      'S3 refuses the second part',
      ({ storage }) => {
        storage.fate = ({ partNumber }) =>
          (partNumber ?? 0) > 1 ? { kind: 'refuse', code: 'AccessDenied' } : { kind: 'ok' };
      },
      { error: { code: 'storage_refused', status: 502 }, state: 'terminated' },
    ],
    [
      'nobody foresaw it',
      (relay) => failLook(relay, new TypeError('x is undefined')),
      { error: { name: 'TypeError' }, state: 'terminated' },
    ],
    [
      'the upload is deleted meanwhile',
      (relay) => {
        const { commitPart } = relay.catalog;
        relay.catalog.commitPart = async (step) => {
          await relay.relay.terminate(UPLOAD_ID).catch(() => {});
          return commitPart.call(relay.catalog, step);
        };
      },
      { error: { code: 'upload_gone', status: 410 }, state: 'terminated' },
    ],
    [
      'the provider removes the multipart upload',
      ({ storage }) => {
        storage.fate = ({ operation }) => {
          if (operation === 'UploadPart') storage.multiparts.clear();
          return { kind: 'ok' };
        };
      },
      { error: { code: 'upload_gone', status: 410 }, state: 'lost' },
    ],
  ];
  for (const [name, breakIt, expected] of endsIt) {
    await t.test(`${name}: an error, and nothing of the upload stays`, async (t) => {
      const relay = await startTestRelay(t);
      breakIt(relay);
      await assert.rejects(createWith(relay), expected.error);
      assert.equal((await relay.catalog.find(UPLOAD_ID))?.state, expected.state);
      relay.storage.fate = () => ({ kind: 'ok' });
      relay.discards.kick();
      await relay.discards.idle();
      assert.deepEqual([...relay.storage.objects.keys(), ...relay.storage.multiparts.keys()], []);
    });
  }
});

test('a body that says nothing of its length and is too long ends the creation with 413', async (t) => {
  const relay = await startTestRelay(t);
  const tooLong = { ...bodyOf(CONTENT), source: Readable.from([CONTENT, Buffer.from('!')]), declaredBytes: null };
  await assert.rejects(createWith(relay, tooLong), UploadSizeExceededError);
  assert.equal((await relay.catalog.find(UPLOAD_ID))?.state, 'terminated');
});

test('a client that has gone before every byte was there leaves no upload behind: nobody knows its address', async (t) => {
  const relay = await startTestRelay(t);
  const source = new PassThrough();
  const creating = createWith(relay, { ...bodyOf(CONTENT), source });
  source.write(CONTENT.subarray(0, 1_400));
  await new Promise((resolve) => setImmediate(resolve));
  source.destroy();
  await creating;
  assert.equal((await relay.catalog.find(UPLOAD_ID))?.state, 'terminated');
  relay.discards.kick();
  await relay.discards.idle();
  assert.deepEqual([...relay.storage.objects.keys(), ...relay.storage.multiparts.keys()], []);
});

test('a creation that is asked to let go keeps what has arrived, and says how much', async (t) => {
  const relay = await startTestRelay(t);
  const [source, stop] = [new PassThrough(), new AbortController()];
  const creating = createWith(relay, { source, declaredBytes: CONTENT.length, stop: stop.signal });
  source.write(CONTENT.subarray(0, 1_400));
  await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  const { upload, offsetBytes } = await creating;
  assert.deepEqual([upload.state, offsetBytes], ['open', 1_400]);
});

test('an empty upload whose object cannot be stored is an error, and no file comes of it later', async (t) => {
  for (const kind of ['fail', 'refuse'] as const) {
    const relay = await startTestRelay(t);
    relay.storage.fate = () => ({ kind, code: 'AccessDenied' });
    const empty = { uploadId: UPLOAD_ID, owner: 'public', lengthBytes: 0, metadata: null, body: null };
    await assert.rejects(relay.relay.create(empty), S3Error);
    assert.equal((await relay.catalog.find(UPLOAD_ID))?.state, 'terminated');
    await assert.rejects(relay.completer.complete(UPLOAD_ID), UploadGoneError);
  }
});

test('an empty upload takes no byte, in a body of unknown length neither', async (t) => {
  const relay = await startTestRelay(t);
  const chunked = (chunks: Buffer[]) => ({ ...bodyOf(CONTENT), source: Readable.from(chunks), declaredBytes: null });
  await assert.rejects(createWith(relay, chunked([Buffer.from('!')]), 0), UploadSizeExceededError);
  assert.equal(await relay.catalog.find(UPLOAD_ID), null);
  assert.equal((await createWith(relay, chunked([]), 0)).upload.state, 'finished');
});

test('while an upload is completing, no event and no error tells its whole length as stored', async (t) => {
  const relay = await startTestRelay(t);
  const wholeLength = () => relay.events.filter((it) => it.type === 'progress' && it.offset === CONTENT.length);
  let isAway = true;
  relay.storage.fate = ({ operation }) => {
    if (operation !== 'CompleteMultipartUpload') return { kind: 'ok' };
    assert.deepEqual(wholeLength(), [], 'there is no object yet');
    return isAway ? { kind: 'fail' } : { kind: 'ok' };
  };
  await createWith(relay);
  assert.deepEqual(wholeLength(), []);
  const append = (offsetBytes: number) =>
    relay.relay.append({ uploadId: UPLOAD_ID, offsetBytes, declaredLengthBytes: null, body: bodyOf(Buffer.alloc(0)) });
  await assert.rejects(append(0), (error: Error) => {
    assert.match(error.message, /offset 0/);
    assert.doesNotMatch(error.message, /2500/);
    return true;
  });
  await assert.rejects(append(CONTENT.length), UploadCompletingError);
  isAway = false;
  assert.equal((await append(CONTENT.length)).upload.state, 'finished');
});

/** A server on an S3 of the test's own, whose faults it sets. */
async function startOnFaultyS3(t: TestContext) {
  const dataDir = await mkdtemp(join(tmpdir(), 'broken-creation-'));
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  const s3 = await startDevS3Process({ dataDir, bucket: 'uploads' });
  t.after(() => s3.end('SIGKILL'));
  const { accessKeyId, secretAccessKey } = s3.credentials;
  const server = await startServerProcess(t, {
    env: {
      LOG_LEVEL: 'warn',
      ...{ S3_BUCKET: 'uploads', S3_ENDPOINT: s3.url, AWS_REGION: s3.region },
      ...{ AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey },
    },
  });
  return { s3, server, files: `${server.url}/files` };
}

test('over HTTP: a creation that S3 refuses is a 502; one that the server goes on with is a 201, and logged', async (t) => {
  const { s3, server, files } = await startOnFaultyS3(t);
  const content = patternBytes(6 * 2 ** 20);
  const create = () => post(files, { 'Upload-Length': content.length, ...OFFSET_BODY }, content);
  const refuse = (operation: 'UploadPart' | 'CompleteMultipartUpload', code: string) =>
    s3.control({ clear: true, rules: [{ operation, action: { kind: 'error', status: 400, code } }] });

  await refuse('UploadPart', 'AccessDenied');
  const refused = await create();
  assert.equal(refused.status, 502);
  assert.match(String(refused.body), /^ERR_STORAGE_REFUSED: /);
  assert.equal(refused.headers.location, undefined);
  assert.equal(server.loggedErrors().length, 1);

  await refuse('CompleteMultipartUpload', 'InvalidPart');
  const kept = await create();
  assert.deepEqual([kept.status, kept.headers['upload-offset']], [201, undefined]);
  const url = String(kept.headers.location);
  const line = server.output.split('\n').find((it) => it.includes('the client was told where to go on'));
  const { level, code, uploadId } = JSON.parse(line ?? '{}');
  assert.deepEqual([level, code, uploadId], ['warn', 'storage_refused', url.split('/').at(-1)]);
  const mismatch = await patch(url, 0, content.subarray(0, 10));
  assert.equal(mismatch.status, 409);
  assert.doesNotMatch(String(mismatch.body), new RegExp(String(content.length)));
  assert.equal((await head(url)).status, 423);
  await s3.control({ clear: true });
  assert.equal((await head(url)).headers['upload-offset'], String(content.length));
});
