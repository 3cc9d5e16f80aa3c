import assert from 'node:assert/strict';
import { after, type TestContext, test } from 'node:test';
import sharp from 'sharp';
import { DiscardCatalog } from '../../src/catalog/discard-catalog.ts';
import { FileCatalog } from '../../src/catalog/file-catalog.ts';
import { UploadCatalog } from '../../src/catalog/upload-catalog.ts';
import type { FileEvent } from '../../src/pipeline/event-bus.ts';
import { runThumbnailFailedJob, runThumbnailJob } from '../../src/pipeline/thumbnail-job.ts';
import { ThumbnailMaker, ThumbnailWorkerDiedError } from '../../src/pipeline/thumbnail-maker.ts';
import { DiscardWorker } from '../../src/relay/discard-worker.ts';
import { S3Error } from '../../src/s3/s3-errors.ts';
import { MemoryObjectStorage } from '../support/memory-object-storage.ts';
import { addStoredFile, type FileWishes } from '../support/stored-files.ts';
import { openTestDatabase } from '../support/test-database.ts';
import { SURE_OF_STORAGE } from '../support/test-relay.ts';

const photo = () =>
  sharp({ create: { width: 800, height: 400, channels: 3, background: '#c33' } })
    .jpeg()
    .toBuffer();

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
  const events: FileEvent[] = [];
  let kicks = 0;
  const parts = {
    files: {
      findFile: files.findFile.bind(files),
      setThumbnails: files.setThumbnails.bind(files),
      setProblem: files.setProblem.bind(files),
      discardOrphanedThumbnails: files.discardOrphanedThumbnails.bind(files),
    },
    ...{ storage, maker },
    events: { publish: (event: FileEvent) => events.push(event) },
    kickDiscards: () => {
      kicks += 1;
    },
  };
  const job = (signal = new AbortController().signal) => ({ data: { fileId: file.fileId }, attempt: 1, signal });
  return {
    ...{ database, storage, file, files, uploads, events, parts, job },
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
