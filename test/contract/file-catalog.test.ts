import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { Database } from '../../src/catalog/database.ts';
import { DiscardCatalog } from '../../src/catalog/discard-catalog.ts';
import { FileCatalog, type FileRecord } from '../../src/catalog/file-catalog.ts';
import { thumbnailKeys } from '../../src/catalog/thumbnail-keys.ts';
import { UploadCatalog } from '../../src/catalog/upload-catalog.ts';
import { RelayError } from '../../src/errors.ts';
import { addStoredFile, type FileWishes } from '../support/stored-files.ts';
import { forEachTestDatabase } from '../support/test-database.ts';

forEachTestDatabase((kind, open) => {
  const setUp = async (t: TestContext) => {
    const database = await open(t);
    const discards = new DiscardCatalog(database);
    return {
      database,
      files: new FileCatalog(database, { discardRecheckSecs: 1800 }),
      uploads: new UploadCatalog(database, { uploadExpiresSecs: 60, discardRecheckSecs: 1800 }),
      add: (wishes: FileWishes = {}) => addStoredFile(database, wishes),
      discardedKeys: async () => (await discards.findUndone(1000)).map((it) => it.objectKey).sort(),
    };
  };
  const thumbnailsOf = (objectKey: string) => ({
    width: 800,
    height: 600,
    variants: [
      { size: 512, objectKey: `${objectKey}_thumb_512`, bytes: 9_000, width: 512, height: 384 },
      { size: 128, objectKey: `${objectKey}_thumb_128`, bytes: 900, width: 128, height: 96 },
    ],
  });
  const idsOf = (files: readonly FileRecord[]) => files.map((file) => file.fileId);

  test(`${kind}: a file comes back as it was recorded`, async (t) => {
    const { files, add } = await setUp(t);
    const bytes = 5 * 2 ** 40;
    const file = await add({ bytes, fileName: 'ü’.txt', declaredType: 'text/plain', detectedType: null });
    const { createdAt, ...record } = await files.getFile(file.fileId);
    assert.deepEqual(record, { ...file, width: null, height: null, problem: null, variants: [] });
    assert.equal(record.bytes, bytes);
    assert.ok(Math.abs(createdAt.getTime() - Date.now()) < 60_000);
  });

  test(`${kind}: what is not there is null, also when it is no id`, async (t) => {
    const { files } = await setUp(t);
    for (const id of [randomUUID(), '', 'x', `${randomUUID()}.info`, "' OR 1=1 --", '../etc', '\0']) {
      assert.equal(await files.findFile(id), null, id);
      await assert.rejects(files.getFile(id), { code: 'file_not_found', status: 404 });
    }
  });

  test(`${kind}: pages come newest first and hold every file once, also those of one instant`, async (t) => {
    const { files, add } = await setUp(t);
    const instants = ['2026-01-01T00:00:00.000002Z', '2026-01-01T00:00:00.000001Z', '2026-01-01T00:00:00.000001Z'];
    for (const createdAt of [...instants, '2025-12-31T23:59:59.999999Z', '2026-01-01T00:00:00.000001Z']) {
      await add({ createdAt });
    }
    const all = (await files.listFiles({ limit: 100, cursor: null })).files;
    assert.equal(all.length, 5);
    for (const limit of [1, 2, 3, 5]) {
      const seen: string[] = [];
      let cursor: string | null = null;
      let pages = 0;
      do {
        const page = await files.listFiles({ limit, cursor });
        assert.ok(page.files.length <= limit && page.files.length > 0);
        seen.push(...idsOf(page.files));
        cursor = page.next;
        pages += 1;
      } while (cursor !== null);
      assert.deepEqual(seen, idsOf(all));
      assert.equal(pages, Math.ceil(5 / limit));
    }
    const times = all.map((file) => file.createdAt.getTime());
    assert.deepEqual(
      times,
      times.toSorted((a, b) => b - a),
    );
  });

  test(`${kind}: what comes or goes between two pages neither repeats nor hides another file`, async (t) => {
    const { files, uploads, add } = await setUp(t);
    const at = (second: number) => ({ createdAt: `2026-01-01T00:00:0${second}Z` });
    const [a, b, c, d] = [await add(at(1)), await add(at(2)), await add(at(3)), await add(at(4))];
    const first = await files.listFiles({ limit: 2, cursor: null });
    assert.deepEqual(idsOf(first.files), [d.fileId, c.fileId]);
    await add(at(5));
    await uploads.terminate(c.fileId);
    const second = await files.listFiles({ limit: 2, cursor: first.next });
    assert.deepEqual(idsOf(second.files), [b.fileId, a.fileId]);
    assert.equal(second.next, null);
  });

  test(`${kind}: a list of one owner’s files shows no others`, async (t) => {
    const { files, add } = await setUp(t);
    const [mine] = [await add({ owner: 'me' }), await add({ owner: 'you' })];
    await add({ owner: 'you' });
    assert.deepEqual(idsOf((await files.listFiles({ limit: 1, cursor: null, owner: 'me' })).files), [mine.fileId]);
    const page = await files.listFiles({ limit: 1, cursor: null, owner: 'you' });
    assert.equal(page.files[0]?.owner, 'you');
    const next = await files.listFiles({ limit: 5, cursor: page.next, owner: 'you' });
    assert.deepEqual(
      next.files.map((file) => file.owner),
      ['you'],
    );
  });

  test(`${kind}: no files are an empty last page`, async (t) => {
    const { files } = await setUp(t);
    const total = { count: 0, atLeast: false };
    for (const sort of ['newest', 'name', 'size'] as const) {
      assert.deepEqual(await files.listFiles({ limit: 10, cursor: null, sort }), { files: [], next: null, total });
    }
  });

  test(`${kind}: a cursor that we did not give is a 400`, async (t) => {
    const { files } = await setUp(t);
    const id = randomUUID();
    const encode = (text: string) => Buffer.from(text).toString('base64url');
    for (const cursor of [
      ...['', 'x', '%00', encode('nonsense'), encode(`2026-01-01T00:00:00Z_${id}`)],
      ...[encode(`2026-13-01T00:00:00.000000Z_${id}`), encode(`2026-02-30T00:00:00.000000Z_${id}`)],
      encode(`2026-01-01T00:00:00.000000Z_${id}'; DROP TABLE files; --`),
    ]) {
      await assert.rejects(
        files.listFiles({ limit: 1, cursor }),
        (error) => error instanceof RelayError && error.code === 'invalid_cursor' && error.status === 400,
        cursor,
      );
    }
  });

  test(`${kind}: thumbnails are recorded smallest first, and a second time replaces the first`, async (t) => {
    const { files, add, discardedKeys } = await setUp(t);
    const { fileId, objectKey } = await add({ thumbnailsPending: true });
    const made = thumbnailsOf(objectKey);
    assert.equal(await files.setThumbnails(fileId, made), true);
    const once = await files.getFile(fileId);
    assert.deepEqual(once.variants, made.variants.toReversed());
    assert.deepEqual([once.width, once.height, once.thumbnailsPending], [800, 600, false]);
    assert.equal(await files.setThumbnails(fileId, made), true);
    assert.deepEqual(await files.getFile(fileId), once);
    assert.deepEqual((await files.listFiles({ limit: 1, cursor: null })).files, [once]);
    assert.deepEqual(await discardedKeys(), []);
  });

  test(`${kind}: thumbnails of a deleted file become discards that are looked at once more`, async (t) => {
    const { database, files, uploads, add, discardedKeys } = await setUp(t);
    const { fileId, objectKey } = await add({ thumbnailsPending: true });
    await uploads.terminate(fileId);
    await forgetDiscards(database);
    assert.equal(await files.setThumbnails(fileId, thumbnailsOf(objectKey)), false);
    assert.equal(await files.findFile(fileId), null);
    assert.deepEqual(await discardedKeys(), thumbnailKeys(objectKey));
    const rows = await database.db
      .selectFrom('discards')
      .select('recheck_at')
      .where('object_key', 'like', '%thumb%')
      .execute();
    for (const { recheck_at } of rows) assert.ok((recheck_at?.getTime() ?? 0) > Date.now() + 1_000_000);
  });

  test(`${kind}: a deleted file takes its thumbnails along, on record or not, and a second look where there was a job`, async (t) => {
    const { database, files, uploads, add } = await setUp(t);
    const discards = async () => {
      const rows = await database.db.selectFrom('discards').selectAll().orderBy('object_key').execute();
      await forgetDiscards(database);
      return rows.map((row) => [row.object_key, row.scope, row.recheck_at === null ? 'once' : 'twice']);
    };
    const both = (key: string, looks: string) => thumbnailKeys(key).map((it) => [it, 'object', looks]);

    const pending = await add({ thumbnailsPending: true });
    await uploads.terminate(pending.fileId);
    assert.deepEqual(await discards(), [[pending.objectKey, 'object', 'once'], ...both(pending.objectKey, 'twice')]);

    const made = await add({ thumbnailsPending: true });
    await files.setThumbnails(made.fileId, thumbnailsOf(made.objectKey));
    await uploads.terminate(made.fileId);
    assert.deepEqual(await discards(), [[made.objectKey, 'object', 'once'], ...both(made.objectKey, 'twice')]);

    const broken = await add({ thumbnailsPending: true });
    await files.setProblem(broken.fileId, 'It is broken.');
    await uploads.terminate(broken.fileId);
    assert.deepEqual(await discards(), [[broken.objectKey, 'object', 'once'], ...both(broken.objectKey, 'twice')]);

    const text = await add();
    await uploads.terminate(text.fileId);
    assert.deepEqual(await discards(), [[text.objectKey, 'object', 'once'], ...both(text.objectKey, 'once')]);
  });

  test(`${kind}: recorded at the moment of the deletion, thumbnails are either the file’s or discards`, async (t) => {
    const { database, files, uploads, add, discardedKeys } = await setUp(t);
    for (let round = 0; round < 8; round += 1) {
      const { fileId, objectKey } = await add({ thumbnailsPending: true });
      const actions = [
        () => uploads.terminate(fileId),
        () => files.setThumbnails(fileId, thumbnailsOf(objectKey)),
        () => files.setThumbnails(fileId, thumbnailsOf(objectKey)),
      ];
      await Promise.all((round % 2 === 0 ? actions : actions.toReversed()).map((action) => action()));
      const discarded = await discardedKeys();
      for (const key of thumbnailKeys(objectKey)) assert.ok(discarded.includes(key), `round ${round} ${key}`);
      assert.equal(await files.findFile(fileId), null);
      const left = await database.db.selectFrom('file_variants').selectAll().execute();
      assert.deepEqual(left, []);
    }
  });

  test(`${kind}: orphans are discarded only when the file is gone`, async (t) => {
    const { database, files, uploads, add, discardedKeys } = await setUp(t);
    const { fileId, objectKey } = await add({ thumbnailsPending: true });
    await files.discardOrphanedThumbnails(fileId);
    await files.discardOrphanedThumbnails(randomUUID());
    assert.deepEqual(await discardedKeys(), []);
    await uploads.terminate(fileId);
    await forgetDiscards(database);
    await files.discardOrphanedThumbnails(fileId);
    assert.deepEqual(await discardedKeys(), thumbnailKeys(objectKey));
  });

  test(`${kind}: a problem is recorded while thumbnails are waited for, and never takes the place of any`, async (t) => {
    const { files, uploads, add } = await setUp(t);
    const broken = await add({ thumbnailsPending: true });
    assert.equal(await files.setProblem(broken.fileId, 'It is broken.'), true);
    assert.equal(await files.setProblem(broken.fileId, 'Again.'), false);
    const record = await files.getFile(broken.fileId);
    assert.deepEqual([record.problem, record.thumbnailsPending], ['It is broken.', false]);

    const fine = await add({ thumbnailsPending: true });
    await files.setThumbnails(fine.fileId, thumbnailsOf(fine.objectKey));
    assert.equal(await files.setProblem(fine.fileId, 'Too late.'), false);
    assert.equal((await files.getFile(fine.fileId)).problem, null);

    const deleted = await add({ thumbnailsPending: true });
    await uploads.terminate(deleted.fileId);
    assert.equal(await files.setProblem(deleted.fileId, 'Gone.'), false);
  });

  test(`${kind}: decodings that were begun are counted until they end, while thumbnails are waited for`, async (t) => {
    const { files, add } = await setUp(t);
    const { fileId, objectKey } = await add({ thumbnailsPending: true });
    assert.equal(await files.beginDecoding(fileId), 1);
    assert.equal(await files.beginDecoding(fileId), 2);
    for (let times = 0; times < 3; times += 1) await files.endDecoding(fileId);
    assert.equal(await files.beginDecoding(fileId), 1);
    await files.setThumbnails(fileId, thumbnailsOf(objectKey));
    assert.equal(await files.beginDecoding(fileId), null);
    assert.equal(await files.beginDecoding(randomUUID()), null);
  });

  test(`${kind}: thumbnails that come after a problem take its place`, async (t) => {
    const { files, add } = await setUp(t);
    const { fileId, objectKey } = await add({ thumbnailsPending: true });
    await files.setProblem(fileId, 'It was too busy.');
    await files.setThumbnails(fileId, thumbnailsOf(objectKey));
    const record = await files.getFile(fileId);
    assert.deepEqual([record.problem, record.variants.length], [null, 2]);
  });
});

async function forgetDiscards({ db }: Database): Promise<void> {
  await db.deleteFrom('discards').execute();
}
