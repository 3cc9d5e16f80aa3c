/** The list where there are many files: counted, searched, sorted, and several of them at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBrowser, openPage } from '../support/browser.ts';
import { assertTargets, sidewaysScroll, topInSight, topOf } from './support/measure.ts';
import { announcement, eventually, rowOf, SOON_MS, shownNames } from './support/page-actions.ts';
import { startPageServer } from './support/page-server.ts';
import { storeFile } from './support/store-file.ts';

test('the list is counted, searched and sorted by the server, all pages of it', async (t) => {
  const server = await startPageServer(t);
  for (let index = 0; index < 40; index += 1) await storeFile(server, `note-${index}.txt`, 'x'.repeat(index * 10));
  await storeFile(server, 'Holiday in the south.txt', 'x');
  const { page, record } = await openPage(await openBrowser(t), server.url);
  const count = page.locator('#files-count');
  await eventually('all are counted', async () => (await count.textContent()) === '41');
  assert.equal((await shownNames(page)).length, 30);

  await page.getByLabel('Search names').fill('  SOUTH holi ');
  await eventually('one is found', async () => (await count.textContent()) === '1 found');
  assert.deepEqual(await shownNames(page), ['Holiday in the south.txt']);
  // A file that comes now is found too, or not, as its name says.
  await storeFile(server, 'note-south.txt', 'x');
  await storeFile(server, 'southern holidays.txt', 'x');
  await eventually('the new one is found', async () => (await count.textContent()) === '2 found');
  assert.deepEqual(await shownNames(page), ['southern holidays.txt', 'Holiday in the south.txt']);
  await page.getByLabel('Search names').fill('nowhere');
  await page.getByText('No file has “nowhere” in its name').waitFor({ timeout: SOON_MS });
  await page.getByLabel('Search names').fill('');
  await eventually('all are there again', async () => (await count.textContent()) === '43');

  await page.getByLabel('Order').selectOption('By name');
  await eventually('by name', async () => (await shownNames(page))[0] === 'Holiday in the south.txt');
  await page.getByRole('button', { name: 'Show more' }).click();
  await eventually('the last page', async () => (await shownNames(page)).length === 43);
  const names = await shownNames(page);
  assert.deepEqual(
    names,
    names.toSorted((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1)),
  );
  await page.getByLabel('Order').selectOption('Largest first');
  await eventually('by size', async () => (await shownNames(page))[0] === 'note-39.txt');

  await rowOf(page, 'note-39.txt').getByRole('button', { name: 'Delete note-39.txt' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await eventually('it is not counted any more', async () => (await count.textContent()) === '42');
  assert.deepEqual(record.errors, []);
});

test('several files are selected, with Shift or all, and downloaded, copied as links, and deleted with one question', async (t) => {
  const server = await startPageServer(t);
  const names = ['1.txt', '2.txt', '3.txt', '4.txt', '5.txt'];
  for (const name of names) await storeFile(server, name, `content of ${name}`);
  const context = await openBrowser(t);
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const { page, record } = await openPage(context, server.url);
  await rowOf(page, '5.txt').waitFor({ timeout: SOON_MS });
  const top = await topOf(rowOf(page, '5.txt'));
  const toggle = (name: string) => page.getByLabel(`Select ${name}`, { exact: true });

  await toggle('5.txt').click();
  await toggle('3.txt').click({ modifiers: ['Shift'] });
  await page.getByText('3 selected').waitFor();
  assert.deepEqual(await Promise.all(names.map((name) => toggle(name).isChecked())), [false, false, true, true, true]);
  assert.equal(await topOf(rowOf(page, '5.txt')), top, 'the rows stay where they are');
  await page.getByLabel('3 selected').check();
  await page.getByText('5 selected').waitFor();
  await toggle('1.txt').uncheck();
  await toggle('2.txt').uncheck();

  await page.getByRole('button', { name: 'Copy links: selected files' }).click();
  await announcement(page, '3 links copied').waitFor({ state: 'attached' });
  const links = ((await page.evaluate('navigator.clipboard.readText()')) as string).split('\n');
  const contents = await Promise.all(links.map(async (link) => (await fetch(link)).text()));
  assert.deepEqual(contents, ['content of 5.txt', 'content of 4.txt', 'content of 3.txt']);

  const downloads: string[] = [];
  page.on('download', (download) => downloads.push(download.suggestedFilename()));
  await page.getByRole('button', { name: 'Download: selected files' }).click();
  await eventually('all are downloaded', () => downloads.length === 3);
  assert.deepEqual(downloads, ['5.txt', '4.txt', '3.txt']);

  // One of them cannot be deleted: the others are, and its row says why.
  const stubborn = links[1]?.split('/').at(-2) ?? '';
  await context.route(`**/api/files/${stubborn}`, (route) =>
    route.fulfill({ status: 503, json: { code: 'storage_unavailable', message: 'the storage cannot be reached' } }),
  );
  await page.getByRole('button', { name: 'Delete: selected files' }).click();
  await page.getByRole('dialog', { name: 'Delete 3 files?' }).getByRole('button', { name: 'Delete' }).click();
  await announcement(page, '2 of 3 files deleted').waitFor({ state: 'attached', timeout: SOON_MS });
  assert.deepEqual(await shownNames(page), ['4.txt', '2.txt', '1.txt']);
  await rowOf(page, '4.txt').getByText('Could not be deleted: the storage cannot be reached.').waitFor();
  await page.getByText('1 selected').waitFor();
  assert.equal(await page.locator('#files-count').textContent(), '3');
  assert.deepEqual(record.errors, []);
});

test('a row under the pointer stays there when files arrive above it', async (t) => {
  const server = await startPageServer(t);
  for (let index = 0; index < 20; index += 1) await storeFile(server, `${index}.txt`, 'x');
  const { page } = await openPage(await openBrowser(t), server.url);
  await page.locator('#connection[data-state="live"]').waitFor({ timeout: SOON_MS });
  const row = rowOf(page, '10.txt');
  await row.hover();
  const top = await topInSight(row);
  await storeFile(server, 'new.txt', 'x');
  await rowOf(page, 'new.txt').waitFor({ timeout: SOON_MS });
  assert.ok(Math.abs((await topInSight(row)) - top) <= 1);
});

test('on a phone the list has targets for fingers, and long names of every script keep their end', async (t) => {
  const server = await startPageServer(t);
  const names = [
    `${'b'.repeat(200)}.tar.gz`,
    `${'四'.repeat(60)}.txt`,
    `${'שלום '.repeat(20)}.pdf`,
    `${'👩‍👩‍👧‍👦'.repeat(8)}.bin`,
  ];
  for (const name of names) await storeFile(server, name, 'x');
  const { page } = await openPage(await openBrowser(t, { phone: true }), server.url);
  await page.locator('.file').nth(3).waitFor({ timeout: SOON_MS });
  await page.getByLabel('Select all').check();
  await assertTargets(page, 'with selected files');
  assert.deepEqual(await sidewaysScroll(page), 0);
  for (const row of await page.locator('.file').all()) {
    const [name, end] = [await row.locator('.file-name').boundingBox(), await row.locator('.name-end').boundingBox()];
    assert.ok(name !== null && end !== null);
    assert.ok(end.x >= name.x - 1 && end.x + end.width <= name.x + name.width + 1, 'the end is in sight');
    assert.match((await row.locator('.name-end').textContent()) ?? '', /\.(gz|txt|pdf|bin)$/);
  }
});
