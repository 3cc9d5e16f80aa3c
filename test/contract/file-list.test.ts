import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { FileCatalog } from '../../src/catalog/file-catalog.ts';
import type { FilePage, FileTotal } from '../../src/catalog/file-list.ts';
import { UploadCatalog } from '../../src/catalog/upload-catalog.ts';
import { addStoredFile, type FileWishes } from '../support/stored-files.ts';
import { forEachTestDatabase } from '../support/test-database.ts';

type Wishes = Omit<FilePage, 'limit' | 'cursor'>;

forEachTestDatabase((kind, open) => {
  const setUp = async (t: TestContext, searchedFiles = 100) => {
    const database = await open(t);
    const files = new FileCatalog(database, { searchedFiles });
    let second = 0;
    return {
      files,
      uploads: new UploadCatalog(database, { uploadExpiresSecs: 60, discardRecheckSecs: 1800 }),
      /** Each a second newer than the one before. */
      add: (wishes: FileWishes) => {
        second += 1;
        return addStoredFile(database, {
          createdAt: new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString(),
          ...wishes,
        });
      },
      /** All pages one after another. */
      read: async (limit: number, wishes: Wishes) => {
        const names: (string | null)[] = [];
        const totals: (FileTotal | null)[] = [];
        let cursor: string | null = null;
        do {
          const page = await files.listFiles({ limit, cursor, ...wishes });
          assert.ok(page.files.length <= limit);
          names.push(...page.files.map((file) => file.fileName));
          totals.push(page.total);
          cursor = page.next;
        } while (cursor !== null && totals.length < 100);
        return { names, totals };
      },
    };
  };

  test(`${kind}: files in the order of their names, whatever the case, and of their sizes, each once`, async (t) => {
    const { add, read } = await setUp(t);
    const given = [
      ...[
        ['b.txt', 5],
        ['A.txt', 30],
        ['a.txt', 30],
        ['_x', 1],
        ['Zoë.txt', 2 ** 40],
        ['b.txt', 7],
      ],
      ...[
        [null, 5],
        ['a_b"\\%.txt', 0],
      ],
    ] as [string | null, number][];
    for (const [fileName, bytes] of given) await add({ fileName, bytes });
    const byName = ['', '_x', 'a.txt', 'a.txt', 'a_b"\\%.txt', 'b.txt', 'b.txt', 'zoë.txt'];
    for (const limit of [1, 2, 3, 8, 50]) {
      const { names, totals } = await read(limit, { sort: 'name' });
      assert.deepEqual(
        names.map((name) => (name ?? '').toLowerCase()),
        byName,
        `${limit} a page`,
      );
      assert.equal(new Set(names).size, 7, 'A.txt and a.txt, b.txt twice');
      assert.deepEqual(totals, [{ count: 8, atLeast: false }, ...new Array(Math.ceil(8 / limit) - 1).fill(null)]);
      const bySize = (await read(limit, { sort: 'size' })).names;
      const sizes = bySize.map((name) => given.find((it) => it[0] === name)?.[1]);
      assert.deepEqual(bySize.length, 8);
      assert.deepEqual(sizes.slice(0, 3), [2 ** 40, 30, 30]);
      assert.equal(bySize.at(-1), 'a_b"\\%.txt');
    }
  });

  test(`${kind}: a search finds the names that contain every word, taken literally, in every order`, async (t) => {
    const { add, read } = await setUp(t);
    for (const fileName of ['Holiday 2025.jpg', 'holiday-2026.JPG', '100%_done.txt', 'x.txt', null])
      await add({ fileName });
    const find = async (...words: string[]) => (await read(1, { words })).names;
    assert.deepEqual(await find('HOLIDAY'), ['holiday-2026.JPG', 'Holiday 2025.jpg']);
    assert.deepEqual(await find('jpg', '2025'), ['Holiday 2025.jpg']);
    assert.deepEqual(await find('%'), ['100%_done.txt']);
    assert.deepEqual(await find('_'), ['100%_done.txt']);
    assert.deepEqual(await find("'; DROP TABLE files; --"), []);
    const { names, totals } = await read(2, { words: ['holiday'], sort: 'name' });
    assert.deepEqual(names, ['Holiday 2025.jpg', 'holiday-2026.JPG']);
    assert.deepEqual(totals, [{ count: 2, atLeast: false }]);
  });

  test(`${kind}: a search is complete, though each request looks at some files only`, async (t) => {
    const { files, add, read } = await setUp(t, 4);
    for (let index = 1; index <= 13; index += 1)
      await add({ fileName: index % 6 === 1 ? `wanted ${index}` : `other ${index}` });
    const { names, totals } = await read(2, { words: ['wanted'] });
    assert.deepEqual(names, ['wanted 13', 'wanted 7', 'wanted 1']);
    assert.deepEqual(totals[0], { count: 1, atLeast: true });
    const first = await files.listFiles({ limit: 2, cursor: null, words: ['none'] });
    assert.deepEqual([first.files.length, first.next === null], [0, false]);
    assert.deepEqual((await read(5, { words: ['none'] })).names, []);
  });

  test(`${kind}: a file that comes between two steps of a search is not found twice, nor hides another`, async (t) => {
    const { files, add } = await setUp(t, 2);
    for (const fileName of ['wanted 1', 'wanted 2', 'wanted 3', 'wanted 4']) await add({ fileName });
    const first = await files.listFiles({ limit: 5, cursor: null, words: ['wanted'] });
    await add({ fileName: 'wanted 5' });
    const second = await files.listFiles({ limit: 5, cursor: first.next, words: ['wanted'] });
    const found = [...first.files, ...second.files].map((file) => file.fileName);
    assert.deepEqual(found, ['wanted 4', 'wanted 3', 'wanted 2', 'wanted 1']);
  });

  test(`${kind}: other orders are made of the newest files, and the total says that there may be more`, async (t) => {
    const { add, read } = await setUp(t, 3);
    for (const [fileName, bytes] of [
      ['a', 9],
      ['c', 1],
      ['b', 2],
      ['d', 3],
    ] as const)
      await add({ fileName, bytes });
    assert.deepEqual(await read(2, { sort: 'name' }), {
      names: ['b', 'c', 'd'],
      totals: [{ count: 3, atLeast: true }, null],
    });
    assert.deepEqual((await read(2, { sort: 'size' })).names, ['d', 'b', 'c']);
    const all = await read(2, {});
    assert.deepEqual(all, { names: ['d', 'b', 'c', 'a'], totals: [{ count: 3, atLeast: true }, null] });
  });

  test(`${kind}: a deleted file neither repeats nor hides others on later pages of any order`, async (t) => {
    const { files, uploads, add } = await setUp(t);
    const [a, b] = [await add({ fileName: 'a', bytes: 4 }), await add({ fileName: 'b', bytes: 3 })];
    await add({ fileName: 'c', bytes: 2 });
    for (const sort of ['name', 'size'] as const) {
      const first = await files.listFiles({ limit: 2, cursor: null, sort });
      if (sort === 'size') await uploads.terminate(b.fileId);
      const second = await files.listFiles({ limit: 2, cursor: first.next, sort });
      assert.deepEqual(
        first.files.map((file) => file.fileId),
        [a.fileId, b.fileId],
      );
      assert.deepEqual(
        second.files.map((file) => file.fileName),
        ['c'],
      );
    }
  });

  test(`${kind}: one owner’s list, search and total know nothing of others’ files`, async (t) => {
    const { add, read } = await setUp(t, 2);
    await add({ fileName: 'mine', owner: 'me' });
    for (const fileName of ['theirs 1', 'theirs 2', 'theirs mine']) await add({ fileName, owner: 'you' });
    for (const wishes of [{}, { sort: 'name' }, { words: ['mine'] }] as Wishes[]) {
      const total = { count: 1, atLeast: false };
      assert.deepEqual(await read(5, { ...wishes, owner: 'me' }), { names: ['mine'], totals: [total] });
    }
  });

  test(`${kind}: a cursor of another order, or one that we did not give, is a 400`, async (t) => {
    const { files, add } = await setUp(t);
    for (const fileName of ['a', 'b']) await add({ fileName });
    const id = randomUUID();
    const encode = (text: string) => Buffer.from(text).toString('base64url');
    const { next: nameCursor } = await files.listFiles({ limit: 1, cursor: null, sort: 'name' });
    const { next: sizeCursor } = await files.listFiles({ limit: 1, cursor: null, sort: 'size' });
    for (const [sort, cursor] of [
      ...[
        ['newest', nameCursor],
        ['size', nameCursor],
        ['name', sizeCursor],
        ['newest', sizeCursor],
      ],
      ...[
        ['name', encode(`name_${id}_a\0`)],
        ['size', encode(`size_${id}_1e9`)],
        ['size', encode(`size_${id}_${'9'.repeat(40)}`)],
      ],
      ...[
        ['name', encode(`name_nobody_a`)],
        ['size', encode(`size_${id}_-1`)],
      ],
    ] as ['newest' | 'name' | 'size', string][]) {
      await assert.rejects(
        files.listFiles({ limit: 1, cursor, sort }),
        { code: 'invalid_cursor', status: 400 },
        `${sort} ${cursor}`,
      );
    }
  });
});
