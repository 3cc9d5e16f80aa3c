import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBrowser, openPage } from '../support/browser.ts';
import { startGateProxy } from './support/gate-proxy.ts';
import { announcement, eventually, rowOf, SOON_MS, shownNames, sidewaysPhoto } from './support/page-actions.ts';
import { startPageServer } from './support/page-server.ts';
import { storeFile } from './support/store-file.ts';

test('a file is deleted by keyboard alone, and the focus stays in the list', async (t) => {
  const server = await startPageServer(t);
  for (const name of ['old.txt', 'middle.txt', 'new.txt']) await storeFile(server, name, 'x');
  const { page, record } = await openPage(await openBrowser(t), server.url);
  const focused = page.locator(':focus');
  await rowOf(page, 'middle.txt').getByRole('button', { name: 'Delete middle.txt' }).focus();

  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog', { name: 'Delete this file?' });
  await dialog.waitFor();
  assert.equal(await focused.textContent(), 'Keep it', 'the safe answer comes first');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  assert.equal(await focused.getAttribute('aria-label'), 'Delete middle.txt');
  assert.equal(await page.locator('.file').count(), 3);

  await page.keyboard.press('Enter');
  await dialog.waitFor();
  await page.keyboard.press('Tab');
  assert.equal(await focused.textContent(), 'Delete');
  await page.keyboard.press('Enter');
  await rowOf(page, 'middle.txt').waitFor({ state: 'detached', timeout: SOON_MS });
  await announcement(page, 'middle.txt deleted').waitFor({ state: 'attached' });
  await eventually(
    'the focus is on the next file',
    async () => (await focused.getAttribute('aria-label')) === 'Delete old.txt',
  );
  assert.deepEqual(record.errors, []);
});

test('more files than fit a page are read page by page, newest first', async (t) => {
  const server = await startPageServer(t);
  const names = Array.from({ length: 65 }, (_, index) => `file-${String(index).padStart(2, '0')}.txt`);
  for (const name of names) await storeFile(server, name, name);
  const { page, record } = await openPage(await openBrowser(t), server.url);
  const shown = () => shownNames(page);
  await page.locator('.file').first().waitFor();
  assert.deepEqual(await shown(), names.toReversed().slice(0, 30));

  const more = page.getByRole('button', { name: 'Show more' });
  await more.focus();
  await page.keyboard.press('Enter');
  await eventually('a second page', async () => (await shown()).length === 60);
  await page.keyboard.press('Enter'); // the button has kept the focus
  await eventually('the last page', async () => (await shown()).length === 65);
  assert.deepEqual(await shown(), names.toReversed());
  await more.waitFor({ state: 'detached' });
  assert.equal(await page.locator(':focus').textContent(), 'Stored files');
  assert.deepEqual(record.errors, []);
});

test('what happened while the connection was lost is in the list when it is back', async (t) => {
  const server = await startPageServer(t);
  const gone = await storeFile(server, 'will-go.txt', 'x');
  const proxy = await startGateProxy(t, server.port);
  const { page } = await openPage(await openBrowser(t), proxy.url);
  await rowOf(page, 'will-go.txt').waitFor({ timeout: SOON_MS });
  await page.locator('#connection[data-state="live"]').waitFor({ timeout: SOON_MS });

  await proxy.cut();
  await page.locator('#connection[data-state="reconnecting"]').waitFor({ timeout: SOON_MS });
  await storeFile(server, 'came.txt', 'x');
  assert.equal((await fetch(`${server.url}/api/files/${gone}`, { method: 'DELETE' })).status, 204);
  await proxy.open();
  await page.locator('#connection[data-state="live"]').waitFor({ timeout: SOON_MS });
  await rowOf(page, 'came.txt').waitFor({ timeout: SOON_MS });
  await rowOf(page, 'will-go.txt').waitFor({ state: 'detached', timeout: SOON_MS });
});

test('a picture that the lost connection kept back is there when it is back', async (t) => {
  const server = await startPageServer(t);
  const proxy = await startGateProxy(t, server.port);
  const context = await openBrowser(t);
  await context.route('**/thumb/128', (route) => route.abort());
  const { page } = await openPage(context, proxy.url);
  await page.locator('#connection[data-state="live"]').waitFor({ timeout: SOON_MS });
  const refused = page.waitForEvent('requestfailed', (request) => request.url().endsWith('/thumb/128'));
  const photo = await sidewaysPhoto('photo.jpg');
  await storeFile(server, photo.name, photo.buffer, photo.mimeType);
  await refused;
  await rowOf(page, 'photo.jpg').locator('.file-tile').waitFor({ timeout: SOON_MS });

  await proxy.cut();
  await page.locator('#connection[data-state="reconnecting"]').waitFor({ timeout: SOON_MS });
  await context.unroute('**/thumb/128');
  await proxy.open();
  await rowOf(page, 'photo.jpg').locator('img').waitFor({ timeout: SOON_MS });
});

test('a list that cannot be read says so, and can be tried again', async (t) => {
  const server = await startPageServer(t);
  await storeFile(server, 'there.txt', 'x');
  const context = await openBrowser(t);
  await context.route('**/api/files?*', (route) => route.fulfill({ status: 503, body: '' }));
  const { page } = await openPage(context, server.url);
  await page.getByRole('alert').getByText('The list of files could not be read.').waitFor({ timeout: SOON_MS });
  await context.unroute('**/api/files?*');
  await page.getByRole('button', { name: 'Try again' }).click();
  await rowOf(page, 'there.txt').waitFor({ timeout: SOON_MS });
  assert.equal(await page.getByRole('alert').count(), 0);
});

test('a broken image is kept, and its row says what is wrong', async (t) => {
  const server = await startPageServer(t);
  const jpegHead = Buffer.from('ffd8ffe000104a46494600010100000100010000', 'hex');
  await storeFile(server, 'broken.jpg', Buffer.concat([jpegHead, Buffer.alloc(500, 7)]), 'image/jpeg');
  const { page } = await openPage(await openBrowser(t), server.url);
  await rowOf(page, 'broken.jpg').locator('.file-problem').waitFor({ timeout: SOON_MS });
  assert.equal(await rowOf(page, 'broken.jpg').locator('img').count(), 0);
});
