import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import sharp from 'sharp';
import { DiscardCatalog } from '../../src/catalog/discard-catalog.ts';
import { FileCatalog } from '../../src/catalog/file-catalog.ts';
import { UploadCatalog } from '../../src/catalog/upload-catalog.ts';
import type { FileEvent } from '../../src/pipeline/event-bus.ts';
import { MachineLock } from '../../src/pipeline/machine-lock.ts';
import { runLargeThumbnailJob, runThumbnailFailedJob, runThumbnailJob } from '../../src/pipeline/thumbnail-job.ts';
import { ThumbnailMaker } from '../../src/pipeline/thumbnail-maker.ts';
import { ThumbnailWorkerDiedError, type WorkerEnd } from '../../src/pipeline/thumbnail-process.ts';
import { DiscardWorker } from '../../src/relay/discard-worker.ts';
import { S3Error } from '../../src/s3/s3-errors.ts';
import { bombPng } from '../support/bomb-png.ts';
import { MemoryObjectStorage } from '../support/memory-object-storage.ts';
import { addStoredFile, type FileWishes } from '../support/stored-files.ts';
import { openTestDatabase } from '../support/test-database.ts';
import { SURE_OF_STORAGE } from '../support/test-relay.ts';

const photo = () =>
  sharp({ create: { width: 800, height: 400, channels: 3, background: '#c33' } })
    .jpeg()
    .toBuffer();

const MIB = 1024 * 1024;

const maker = new ThumbnailMaker();
after(() => maker.close());

async function setUp(t: TestContext, image: Buffer | null = null, wishes: FileWishes = {}, recheckSecs = 1_800) {
  const database = await openTestDatabase(t);
  const storage = new MemoryObjectStorage();
  const content = image ?? (await photo());
  const file = await addStoredFile(database, {
    ...{ bytes: content.length, detectedType: 'image/jpeg', thumbnailsPending: true },
    ...wishes,
  });
  await storage.putObject(file.objectKey, { bytes: content.length, read: () => [content] }, {});
  storage.forget();
  const files = new FileCatalog(database, { discardRecheckSecs: recheckSecs });
  const uploads = new UploadCatalog(database, { uploadExpiresSecs: 60, discardRecheckSecs: recheckSecs });
  const discards = new DiscardCatalog(database);
  const large: string[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'tus-relay-lock-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const lock = new MachineLock(join(folder, 'lock'));
  const events: FileEvent[] = [];
  let kicks = 0;
  const parts = {
    files: {
      findFile: files.findFile.bind(files),
      setThumbnails: files.setThumbnails.bind(files),
      setProblem: files.setProblem.bind(files),
      discardOrphanedThumbnails: files.discardOrphanedThumbnails.bind(files),
      beginDecoding: files.beginDecoding.bind(files),
      endDecoding: files.endDecoding.bind(files),
    },
    imageBytes: 256 * MIB,
    largeImageLock: lock,
    enqueueLarge: async (fileId: string) => void large.push(fileId),
    ...{ storage, maker },
    events: { publish: (event: FileEvent) => events.push(event) },
    kickDiscards: () => {
      kicks += 1;
    },
  };
  const job = (signal = new AbortController().signal) => ({ data: { fileId: file.fileId }, attempt: 1, signal });
  return {
    ...{ database, storage, file, files, uploads, events, parts, job, large },
    kicks: () => kicks,
    run: (signal?: AbortSignal) => runThumbnailJob(job(signal), parts),
    /** Keys beside the file's own. */
    extraKeys: () => [...storage.objects.keys()].filter((key) => key !== file.objectKey).sort(),
    sweeper: () =>
      new DiscardWorker(discards, storage, SURE_OF_STORAGE, (error) => {
        throw error;
      }),
    discardedKeys: async () => (await discards.findUndone(100)).map((discard) => discard.objectKey).sort(),
  };
}

test('a photo gets both thumbnails, its size, and one event', async (t) => {
  const setup = await setUp(t);
  await setup.run();
  const record = await setup.files.getFile(setup.file.fileId);
  assert.deepEqual(
    { width: record.width, height: record.height, pending: record.thumbnailsPending, problem: record.problem },
    { width: 800, height: 400, pending: false, problem: null },
  );
  const key = setup.file.objectKey;
  assert.deepEqual(
    record.variants.map((it) => [it.size, it.objectKey, it.width, it.height]),
    [
      [128, `${key}_thumb_128`, 128, 64],
      [512, `${key}_thumb_512`, 512, 256],
    ],
  );
  for (const variant of record.variants) {
    const stored = setup.storage.objects.get(variant.objectKey);
    assert.equal(stored?.bytes.length, variant.bytes);
    assert.equal(stored?.headers.contentType, 'image/webp');
    assert.match(stored?.headers.cacheControl ?? '', /max-age=\d{6,}, immutable/);
    assert.equal((await sharp(stored?.bytes).metadata()).width, variant.width);
  }
  assert.deepEqual(setup.events, [{ type: 'thumbnails', fileId: setup.file.fileId }]);
});

test('the object is read once, and nothing but the thumbnails is written', async (t) => {
  const setup = await setUp(t);
  await setup.run();
  assert.deepEqual(setup.storage.counts(), { GetObject: 1, PutObject: 2 });
});

test('a second run finds everything done and touches nothing', async (t) => {
  const setup = await setUp(t);
  await setup.run();
  const before = await setup.files.getFile(setup.file.fileId);
  setup.storage.forget();
  await setup.run();
  assert.deepEqual(await setup.files.getFile(setup.file.fileId), before);
  assert.deepEqual(setup.storage.counts(), {});
});

test('two runs at one time leave one set of thumbnails', async (t) => {
  const setup = await setUp(t);
  await Promise.all([setup.run(), setup.run()]);
  assert.equal((await setup.files.getFile(setup.file.fileId)).variants.length, 2);
  assert.equal(setup.extraKeys().length, 2);
  assert.deepEqual(await setup.discardedKeys(), []);
});

test('a broken image gets a sentence instead, and the page is told', async (t) => {
  const whole = await photo();
  const setup = await setUp(t, whole.subarray(0, whole.length - 200));
  await setup.run();
  const record = await setup.files.getFile(setup.file.fileId);
  assert.match(record.problem ?? '', /could not be read/);
  assert.equal(record.thumbnailsPending, false);
  assert.deepEqual(record.variants, []);
  assert.deepEqual(setup.extraKeys(), []);
  assert.deepEqual(setup.events, [{ type: 'thumbnails', fileId: setup.file.fileId }]);
});

test('a file above 100 MiB gets a sentence without being read', async (t) => {
  const setup = await setUp(t, null, { bytes: 101 * 1024 * 1024 });
  await setup.run();
  assert.match((await setup.files.getFile(setup.file.fileId)).problem ?? '', /101 MiB/);
  assert.deepEqual(setup.storage.counts(), {});
});

for (const operation of ['GetObject', 'PutObject'] as const) {
  for (const kind of ['fail', 'refuse', 'drop-reply'] as const) {
    test(`${operation}: ${kind}: the run fails for the queue to repeat, and says nothing; the next one succeeds`, async (t) => {
      const setup = await setUp(t);
      setup.storage.fate = (call) => (call.operation === operation ? { kind, code: 'SlowDown' } : { kind: 'ok' });
      await assert.rejects(setup.run(), S3Error);
      const record = await setup.files.getFile(setup.file.fileId);
      assert.deepEqual([record.thumbnailsPending, record.problem, record.variants], [true, null, []]);
      assert.deepEqual(setup.events, []);
      setup.storage.fate = () => ({ kind: 'ok' });
      await setup.run();
      assert.equal((await setup.files.getFile(setup.file.fileId)).variants.length, 2);
      assert.equal(setup.events.length, 1);
      assert.equal(setup.extraKeys().length, 2);
    });
  }
}

test('an image under which the process dies that decodes it: the run is repeated, and the record says nothing', async (t) => {
  const setup = await setUp(t);
  const own = new ThumbnailMaker();
  t.after(() => own.close());
  const { storage } = setup;
  const dying = {
    ...setup.parts,
    maker: own,
    storage: {
      putObject: storage.putObject.bind(storage),
      async getObject(key: string) {
        // The process is there before the first byte is asked for.
        for (const pid of own.pids) process.kill(pid, 'SIGSEGV');
        return storage.getObject(key);
      },
    },
  };
  await assert.rejects(runThumbnailJob(setup.job(), dying), ThumbnailWorkerDiedError);
  const record = await setup.files.getFile(setup.file.fileId);
  assert.deepEqual([record.thumbnailsPending, record.problem, record.variants], [true, null, []]);
  await setup.run();
  assert.equal((await setup.files.getFile(setup.file.fileId)).variants.length, 2);
});

test('an object that is not as long as its record says is no broken image: the run is repeated', async (t) => {
  const setup = await setUp(t);
  const stored = setup.storage.objects.get(setup.file.objectKey);
  assert.ok(stored);
  const whole = stored.bytes;
  for (const wrong of [whole.subarray(0, 100), Buffer.concat([whole, whole])]) {
    stored.bytes = wrong;
    await assert.rejects(setup.run(), /the record says/);
  }
  setup.storage.objects.delete(setup.file.objectKey);
  await assert.rejects(setup.run(), /there is no object/);
  assert.equal((await setup.files.getFile(setup.file.fileId)).problem, null);
});

/** A run that stores what it makes and ends before it can record it, as when its process is killed. */
async function dieBeforeRecord(setup: Awaited<ReturnType<typeof setUp>>): Promise<void> {
  const files = { ...setup.parts.files, setThumbnails: () => Promise.reject(new Error('killed')) };
  await assert.rejects(runThumbnailJob(setup.job(), { ...setup.parts, files }), /killed/);
  assert.equal(setup.extraKeys().length, 2);
}

test('a run that died between storing and recording, then the file is deleted: nothing stays in the bucket', async (t) => {
  const setup = await setUp(t);
  await dieBeforeRecord(setup);
  await setup.uploads.terminate(setup.file.fileId);
  await setup.sweeper().removeUndone(10);
  assert.deepEqual([...setup.storage.objects.keys()], []);
});

test('thumbnails that could not be recorded in any try do not survive their file', async (t) => {
  const setup = await setUp(t);
  await dieBeforeRecord(setup);
  await runThumbnailFailedJob(setup.job(), setup.parts);
  await setup.uploads.terminate(setup.file.fileId);
  await setup.sweeper().removeUndone(10);
  assert.deepEqual([...setup.storage.objects.keys()], []);
});

test('a run that stores after the deletion and dies: the second look finds it', async (t) => {
  const setup = await setUp(t, null, {}, 0);
  setup.storage.fate = async ({ operation, key }) => {
    if (operation !== 'PutObject' || !key.endsWith('_thumb_128')) return { kind: 'ok' };
    setup.storage.fate = () => ({ kind: 'ok' });
    await setup.uploads.terminate(setup.file.fileId);
    await setup.sweeper().removeUndone(10);
    assert.deepEqual([...setup.storage.objects.keys()], []);
    return { kind: 'ok' };
  };
  const files = { ...setup.parts.files, discardOrphanedThumbnails: () => Promise.reject(new Error('killed')) };
  await assert.rejects(runThumbnailJob(setup.job(), { ...setup.parts, files }), /killed/);
  assert.deepEqual(setup.extraKeys(), [`${setup.file.objectKey}_thumb_128`]);
  await setup.sweeper().recheck(10);
  assert.deepEqual([...setup.storage.objects.keys()], []);
});

test('a file that is deleted while its image is decoded: none of its thumbnails is stored', async (t) => {
  const setup = await setUp(t);
  const maker = {
    make: async (...image: Parameters<ThumbnailMaker['make']>) => {
      const made = await setup.parts.maker.make(...image);
      await setup.uploads.terminate(setup.file.fileId);
      return made;
    },
  };
  await runThumbnailJob(setup.job(), { ...setup.parts, maker });
  assert.deepEqual(setup.storage.counts(), { GetObject: 1 });
  assert.equal(setup.kicks(), 1);
  assert.deepEqual(setup.events, []);
});

test('to delete a file that is no image costs one request', async (t) => {
  const setup = await setUp(t, null, { detectedType: 'text/plain', thumbnailsPending: false }, 0);
  await setup.uploads.terminate(setup.file.fileId);
  await setup.sweeper().removeUndone(10);
  await setup.sweeper().recheck(10);
  assert.deepEqual(setup.storage.counts(), { DeleteObjects: 1 });
  assert.deepEqual([...setup.storage.objects.keys()], []);
});

test('a file that was deleted before: nothing is made, and what an earlier run left is discarded', async (t) => {
  const setup = await setUp(t);
  await setup.uploads.terminate(setup.file.fileId);
  await setup.sweeper().removeUndone(10);
  setup.storage.forget();
  await setup.run();
  const key = setup.file.objectKey;
  assert.deepEqual(await setup.discardedKeys(), [`${key}_thumb_128`, `${key}_thumb_512`]);
  assert.equal(setup.kicks(), 1);
  assert.deepEqual(setup.events, []);
  assert.deepEqual(setup.storage.counts(), {});
});

test('a file that is deleted while its thumbnails are being stored: they are discarded, nobody is told', async (t) => {
  const setup = await setUp(t);
  setup.storage.fate = async (call) => {
    if (call.key.endsWith('_thumb_512')) await setup.uploads.terminate(setup.file.fileId);
    return { kind: 'ok' };
  };
  await setup.run();
  assert.equal(await setup.files.findFile(setup.file.fileId), null);
  const discarded = await setup.discardedKeys();
  for (const key of setup.extraKeys()) assert.ok(discarded.includes(key), key);
  assert.equal(setup.extraKeys().length, 2);
  assert.equal(setup.kicks(), 1);
  assert.deepEqual(setup.events, []);
});

test('a file that is deleted after its thumbnails were recorded takes them along', async (t) => {
  const setup = await setUp(t);
  await setup.run();
  await setup.uploads.terminate(setup.file.fileId);
  const key = setup.file.objectKey;
  assert.deepEqual(await setup.discardedKeys(), [key, `${key}_thumb_128`, `${key}_thumb_512`]);
});

test('a run whose time is over stores nothing more', async (t) => {
  const setup = await setUp(t);
  const controller = new AbortController();
  setup.storage.fate = (call) => {
    if (call.key.endsWith('_thumb_128')) controller.abort();
    return { kind: 'ok' };
  };
  await assert.rejects(setup.run(controller.signal), { name: 'AbortError' });
  assert.deepEqual(setup.extraKeys(), [`${setup.file.objectKey}_thumb_128`]);
  assert.equal((await setup.files.getFile(setup.file.fileId)).thumbnailsPending, true);
});

test('the dead letter leaves a sentence, unless the thumbnails are there after all', async (t) => {
  const setup = await setUp(t);
  await runThumbnailFailedJob(setup.job(), setup.parts);
  const record = await setup.files.getFile(setup.file.fileId);
  assert.match(record.problem ?? '', /tried many times/);
  assert.equal(record.thumbnailsPending, false);
  assert.equal(setup.events.length, 1);

  const made = await setUp(t);
  await made.run();
  await runThumbnailFailedJob(made.job(), made.parts);
  assert.equal((await made.files.getFile(made.file.fileId)).problem, null);
  assert.equal(made.events.length, 1);
});

test('the dead letter of a deleted file discards what its tries may have left', async (t) => {
  const setup = await setUp(t);
  await setup.uploads.terminate(setup.file.fileId);
  await setup.sweeper().removeUndone(10);
  await runThumbnailFailedJob(setup.job(), setup.parts);
  assert.equal((await setup.discardedKeys()).length, 2);
  assert.equal(setup.kicks(), 1);
});

/** Ends as it is told, and counts. */
function dyingMaker(ends: WorkerEnd[]) {
  const tries: WorkerEnd[] = [];
  const make = async (): Promise<never> => {
    const end = ends[tries.length] ?? 'crash';
    tries.push(end);
    throw new ThumbnailWorkerDiedError(end, 'gone');
  };
  return { tries, make };
}

for (const [what, ends, problem] of [
  ['killed for its memory twice', ['memory', 'memory'], /too much memory/],
  ['crashed, then killed for its memory', ['crash', 'memory'], /too much memory/],
  ['crashed four times', ['crash', 'crash', 'crash', 'crash'], /crashed again and again/],
] as [string, WorkerEnd[], RegExp][]) {
  test(`an image whose decoder was ${what} gets a sentence, and is not tried again`, async (t) => {
    const setup = await setUp(t);
    const dying = dyingMaker(ends);
    const parts = { ...setup.parts, maker: dying };
    for (const _ of ends.slice(1)) {
      await assert.rejects(runThumbnailJob(setup.job(), parts), ThumbnailWorkerDiedError);
      assert.equal((await setup.files.getFile(setup.file.fileId)).problem, null);
    }
    await runThumbnailJob(setup.job(), parts);
    const record = await setup.files.getFile(setup.file.fileId);
    assert.match(record.problem ?? '', problem);
    assert.equal(record.thumbnailsPending, false);
    await runThumbnailJob(setup.job(), parts);
    assert.deepEqual(dying.tries, ends);
  });
}

test('what says nothing against the image is not counted: S3 that fails, a server that closes, a job that is over', async (t) => {
  const setup = await setUp(t);
  for (let times = 0; times < 5; times += 1) {
    const closing = { ...setup.parts, maker: dyingMaker(['closed']) };
    await assert.rejects(runThumbnailJob(setup.job(), closing), ThumbnailWorkerDiedError);
    setup.storage.fate = ({ operation }) => ({ kind: operation === 'GetObject' ? 'fail' : 'ok', code: 'SlowDown' });
    await assert.rejects(setup.run(), S3Error);
    setup.storage.fate = () => ({ kind: 'ok' });
    await assert.rejects(setup.run(AbortSignal.abort()), { name: 'AbortError' });
  }
  const failing = { ...setup.parts, maker: dyingMaker(['memory']) };
  await assert.rejects(runThumbnailJob(setup.job(), failing), ThumbnailWorkerDiedError);
  await setup.run();
  assert.equal((await setup.files.getFile(setup.file.fileId)).variants.length, 2);
});

test('an image that takes the whole server along is given up after four times', async (t) => {
  const setup = await setUp(t);
  // Nobody comes back to say how it ended.
  for (let times = 0; times < 4; times += 1) await setup.files.beginDecoding(setup.file.fileId);
  await setup.run();
  assert.match((await setup.files.getFile(setup.file.fileId)).problem ?? '', /crashed again and again/);
  assert.deepEqual(setup.storage.counts(), {});
});

test('a bomb is refused by its header, with its size and the limit in the sentence', async (t) => {
  const setup = await setUp(t, bombPng({ width: 9_000, height: 9_000 }), { detectedType: 'image/png' });
  await setup.run();
  const record = await setup.files.getFile(setup.file.fileId);
  assert.match(record.problem ?? '', /9000 × 9000 pixels and takes 618 MiB of memory, .* up to 256 MiB\.$/);
  assert.deepEqual([record.thumbnailsPending, setup.large], [false, []]);
  assert.deepEqual(setup.events, [{ type: 'thumbnails', fileId: setup.file.fileId }]);
});

test('a large image waits for its turn and holds nothing meanwhile; small ones go on', async (t) => {
  const large = await sharp({ create: { width: 4_200, height: 4_200, channels: 4, background: '#123' } })
    .png()
    .toBuffer();
  const setup = await setUp(t, large, { detectedType: 'image/png' });
  await setup.run();
  assert.deepEqual(setup.large, [setup.file.fileId]);
  assert.equal((await setup.files.getFile(setup.file.fileId)).thumbnailsPending, true);
  setup.storage.forget();

  // Another process of the machine has the lock.
  const letGo = await setup.parts.largeImageLock.take(new AbortController().signal);
  const running = runLargeThumbnailJob(setup.job(), setup.parts);
  const small = await setUp(t);
  await small.run();
  assert.equal((await small.files.getFile(small.file.fileId)).variants.length, 2);
  assert.deepEqual(setup.storage.counts(), {});
  letGo();
  await running;
  assert.equal((await setup.files.getFile(setup.file.fileId)).width, 4_200);
});

test('two large images at once are never decoded together', async (t) => {
  let [decoding, most] = [0, 0];
  const one = await setUp(t);
  const slow = {
    async make(...given: Parameters<ThumbnailMaker['make']>) {
      decoding += 1;
      most = Math.max(most, decoding);
      const made = await maker.make(...given);
      await new Promise((resolve) => setTimeout(resolve, 50));
      decoding -= 1;
      return made;
    },
  };
  const others = await Promise.all([setUp(t), setUp(t), setUp(t)]);
  await Promise.all(
    others.map((it) =>
      runLargeThumbnailJob(it.job(), { ...it.parts, maker: slow, largeImageLock: one.parts.largeImageLock }),
    ),
  );
  assert.equal(most, 1);
  for (const it of others) assert.equal((await it.files.getFile(it.file.fileId)).variants.length, 2);
});

test('a large image whose time is over while it waits is not decoded, and can wait again', async (t) => {
  const setup = await setUp(t);
  const letGo = await setup.parts.largeImageLock.take(new AbortController().signal);
  const over = new AbortController();
  const running = runLargeThumbnailJob(setup.job(over.signal), setup.parts);
  over.abort();
  await assert.rejects(running, { name: 'AbortError' });
  letGo();
  await runLargeThumbnailJob(setup.job(), setup.parts);
  assert.equal((await setup.files.getFile(setup.file.fileId)).variants.length, 2);
});
