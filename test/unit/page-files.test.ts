/** The list of files in the page: what it keeps, and what it says of them. The parts without a browser. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FilePage, FileView, StoredFile } from '../../client/src/api.ts';
import { falseClaimOf } from '../../client/src/files/false-claim.ts';
import { FileStore } from '../../client/src/files/file-store.ts';
import { previewOf } from '../../client/src/files/preview-source.ts';
import { Selection } from '../../client/src/files/selection.ts';
import { labelOf } from '../../client/src/format.ts';

const NEWEST: FileView = { sort: 'newest', query: '' };

function file(id: string, wishes: Partial<StoredFile> = {}): StoredFile {
  return {
    ...{ id, uploadId: id, name: id, size: 10, contentType: null, detectedType: null, width: null, height: null },
    ...{ createdAt: `2026-01-01T00:00:${id.padStart(2, '0')}Z`, url: `/api/files/${id}/content`, thumbs: null },
    ...{ problem: null },
    ...wishes,
  };
}

/** A store whose requests a test answers by hand, one after another. */
function openStore() {
  const asked: { cursor: string | null; view: FileView; answer(page: Partial<FilePage>): void; fail(): void }[] = [];
  const store = new FileStore(
    (_limit, cursor, view) =>
      new Promise((resolve, reject) => {
        asked.push({
          cursor,
          view,
          answer: (page) => resolve({ files: [], next: null, total: null, ...page }),
          fail: () => reject(new Error('gone')),
        });
      }),
    () => {},
  );
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const ids = () => store.files.map(({ id }) => id);
  return { store, asked, settle, ids };
}

/** As many files as a page has, the newest first: 59, 58 … 30. */
const firstPage = Array.from({ length: 30 }, (_, index) => file(String(59 - index)));

const total = (count: number, atLeast = false) => ({ count, atLeast });

test('an event that comes while the list is read is applied over the answer, and counted', async () => {
  const { store, asked, settle, ids } = openStore();
  void store.refresh();
  store.put(file('60'));
  store.remove('58');
  store.remove('57');
  asked[0]?.answer({ files: firstPage, next: 'more', total: total(90) });
  await settle();
  assert.deepEqual(ids().slice(0, 4), ['60', '59', '56', '55']);
  assert.deepEqual(store.total, total(89));
});

test('an event that comes while another page is read is applied over that page', async () => {
  const { store, asked, settle, ids } = openStore();
  void store.refresh();
  asked[0]?.answer({ files: firstPage, next: 'more', total: total(33) });
  await settle();
  void store.showMore();
  store.remove('28');
  asked[1]?.answer({ files: [file('29'), file('28'), file('27')] });
  await settle();
  assert.deepEqual([asked.length, asked[1]?.cursor], [2, 'more']);
  assert.deepEqual(ids().slice(-3), ['30', '29', '27']);
  assert.deepEqual([store.total, store.hasMore], [total(32), false]);
});

test('a deletion counts once, though our own request and its event both tell of it', async () => {
  const { store, asked, settle } = openStore();
  void store.refresh();
  asked[0]?.answer({ files: firstPage, next: 'more', total: total(50) });
  await settle();
  store.remove('45');
  store.remove('45');
  assert.deepEqual(store.total, total(49));
  store.put(file('60'));
  assert.deepEqual(store.total, total(50));
  store.remove('12'); // on a page that is not read
  assert.deepEqual(store.total, total(49));
});

test('the answer to an earlier search is thrown away when it comes late', async () => {
  const { store, asked, settle, ids } = openStore();
  void store.refresh();
  asked[0]?.answer({ files: [file('1')], total: total(1) });
  await settle();
  void store.setView({ sort: 'newest', query: 'a' });
  void store.setView({ sort: 'newest', query: 'ab' });
  assert.deepEqual([ids(), store.isStale], [['1'], true], 'what was shown stays until there is something new');
  asked[1]?.answer({ files: [file('5'), file('4')], total: total(2) });
  await settle();
  assert.deepEqual([ids(), store.isStale], [['1'], true]);
  asked[2]?.answer({ files: [file('5')], total: total(1) });
  await settle();
  assert.deepEqual([ids(), store.isStale, asked[2]?.view.query], [['5'], false, 'ab']);
});

test('in another order, files stand as the server has put them, and a new one is asked for', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { store, asked, settle, ids } = openStore();
  void store.setView({ sort: 'size', query: '' });
  asked[0]?.answer({ files: [file('1'), file('7'), file('3')], total: total(3) });
  await settle();
  assert.deepEqual(ids(), ['1', '7', '3']);
  store.put(file('7', { problem: 'It may be damaged.' }));
  assert.deepEqual([ids(), asked.length], [['1', '7', '3'], 1]);
  store.put(file('9'));
  store.put(file('10'));
  t.mock.timers.tick(1_000);
  assert.equal(asked.length, 2, 'once for both');
});

test('a search that finds nothing among many files does not go on for ever by itself', async () => {
  const { store, asked, settle } = openStore();
  void store.setView({ sort: 'newest', query: 'none' });
  for (let request = 0; request < 20; request += 1) {
    asked[request]?.answer({ next: `older ${request}`, total: request === 0 ? total(0, true) : null });
    await settle();
  }
  assert.deepEqual([asked.length, store.status, store.hasMore], [5, 'ready', true]);
  assert.deepEqual(store.total, total(0, true));
});

test('a search that cannot be read does not leave the files of another one standing', async () => {
  const { store, asked, settle, ids } = openStore();
  void store.refresh();
  asked[0]?.answer({ files: [file('1')], total: total(1) });
  await settle();
  void store.setView({ sort: 'newest', query: 'a' });
  asked[1]?.fail();
  await settle();
  assert.deepEqual([ids(), store.status], [[], 'failed']);
  void store.setView(NEWEST);
  asked[2]?.answer({ files: [file('1')], total: total(1) });
  await settle();
  assert.deepEqual([ids(), store.status], [['1'], 'ready']);
});

test('Shift selects all between, in either direction, and what has gone is not selected', () => {
  let order = ['a', 'b', 'c', 'd', 'e'];
  const selection = new Selection(
    () => order,
    () => {},
  );
  selection.set('d', true, false);
  selection.set('b', true, true);
  assert.deepEqual(selection.fileIds, ['b', 'c', 'd']);
  selection.set('c', false, false);
  selection.set('e', false, true);
  assert.deepEqual(selection.fileIds, ['b']);
  selection.setAll(true);
  order = ['a', 'e', 'new'];
  selection.prune();
  assert.deepEqual([selection.fileIds, selection.size], [['a', 'e'], 2]);
  selection.set('new', true, true);
  assert.deepEqual(selection.fileIds, ['a', 'e', 'new'], 'with no earlier one, Shift is nothing special');
});

test('what is called an image or a video and is none says so, in plain words; of others nothing is said', () => {
  const said = (wishes: Partial<StoredFile>) => falseClaimOf(file('1', wishes));
  assert.equal(said({ name: 'not-an-image.jpg' }), 'This is not an image, although it is called one.');
  assert.equal(said({ name: 'x', contentType: 'image/png' }), 'This is not an image, although it is called one.');
  assert.equal(
    said({ name: 'x.JPEG', detectedType: 'application/pdf' }),
    'This is not an image, although it is called one. Its content: PDF document.',
  );
  assert.equal(
    said({ name: 'x.mp4', detectedType: 'application/x-msdownload' }),
    'This is not a video, although it is called one.',
  );
  assert.equal(said({ name: 'x.png', size: 0 }), 'The file is empty.');
  for (const fine of [
    { name: 'x.png', detectedType: 'image/jpeg' },
    { name: 'x.mp4', detectedType: 'audio/mp4' },
    { name: 'drawing.svg', contentType: 'image/svg+xml' },
    { name: 'x.tga', contentType: 'image/x-tga' },
    { name: 'notes.txt' },
    { name: null },
  ]) {
    assert.equal(said(fine), null, JSON.stringify(fine));
  }
  assert.equal(labelOf(file('1', { name: 'not-an-image.jpg', contentType: 'image/jpeg' })).long, 'JPG file');
});

test('only what the bytes say is a picture, film or sound is shown in the page, never a document that can run', () => {
  const kindOf = (wishes: Partial<StoredFile>) => previewOf(file('1', wishes))?.kind ?? null;
  const thumbs = { '128': '/thumb/128', '512': '/thumb/512' };
  assert.equal(kindOf({ detectedType: 'image/png' }), 'image');
  assert.equal(kindOf({ detectedType: 'video/webm; codecs=vp9' }), 'video');
  assert.equal(kindOf({ detectedType: 'audio/mpeg' }), 'audio');
  for (const type of ['image/svg+xml', 'text/html', 'application/pdf', 'application/xml', 'text/plain', null]) {
    assert.equal(kindOf({ detectedType: type, contentType: 'image/png', name: 'x.png' }), null, `${type}`);
  }
  assert.equal(kindOf({ detectedType: 'image/jpeg', problem: 'It may be damaged.' }), null);
  assert.equal(previewOf(file('1', { detectedType: 'image/tiff', thumbs }))?.url, '/thumb/512');
  assert.equal(previewOf(file('1', { detectedType: 'image/png', size: 2 ** 27, thumbs }))?.url, '/thumb/512');
});
