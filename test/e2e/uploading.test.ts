import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBrowser, openPage } from '../support/browser.ts';
import {
  announcement,
  blob,
  chooseFiles,
  eventually,
  loadedSize,
  rowOf,
  SOON_MS,
  sidewaysPhoto,
} from './support/page-actions.ts';
import { startPageServer } from './support/page-server.ts';

test('a photo that is chosen appears in the list, with an upright thumbnail that loads', async (t) => {
  const server = await startPageServer(t);
  const { page, record } = await openPage(await openBrowser(t), server.url);
  await page.getByText('Nothing here yet').waitFor();

  await chooseFiles(page, await sidewaysPhoto('holiday.jpg'));
  const row = rowOf(page, 'holiday.jpg');
  const thumbnail = row.locator('img');
  await thumbnail.waitFor({ timeout: SOON_MS });
  await eventually('the thumbnail loads', async () => (await loadedSize(thumbnail)) !== null);

  assert.deepEqual(await loadedSize(thumbnail), { width: 96, height: 128 });
  assert.match((await row.textContent()) ?? '', /JPEG image.*600 × 800/);
  await announcement(page, 'holiday.jpg uploaded').waitFor({ state: 'attached', timeout: SOON_MS });
  // The panel makes room for the next one.
  await page.getByRole('button', { name: 'Choose files' }).waitFor({ timeout: SOON_MS });
  assert.deepEqual(record.errors, []);
});

test('"open" leads to the bytes that were uploaded, in a new tab', async (t) => {
  const server = await startPageServer(t);
  const { page } = await openPage(await openBrowser(t), server.url);
  const file = blob('backup.bin', 300_000);
  await chooseFiles(page, file);
  const link = rowOf(page, 'backup.bin').getByRole('link', { name: 'Open backup.bin in a new tab' });
  await link.waitFor({ timeout: SOON_MS });
  assert.equal(await link.getAttribute('target'), '_blank');

  const answer = await page.request.get(new URL((await link.getAttribute('href')) ?? '', server.url).href);
  assert.ok(file.buffer.equals(await answer.body()));
});

test('a file that is dropped anywhere on the page is uploaded', async (t) => {
  const server = await startPageServer(t);
  const { page, record } = await openPage(await openBrowser(t), server.url);
  await page.getByRole('button', { name: 'Choose files' }).waitFor();
  const transfer = await page.evaluateHandle(`(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(['dropped'], 'dropped.txt', { type: 'text/plain' }));
    return transfer;
  })()`);
  await page.dispatchEvent('.site-header', 'dragenter', { dataTransfer: transfer });
  assert.equal(await page.locator('html.is-dropping').count(), 1);
  await page.dispatchEvent('.site-header', 'drop', { dataTransfer: transfer });
  await rowOf(page, 'dropped.txt').waitFor({ timeout: SOON_MS });
  assert.equal(await page.locator('html.is-dropping').count(), 0);
  assert.deepEqual(record.errors, []);
});

test('a file name that is HTML is shown as the text it is', async (t) => {
  const server = await startPageServer(t);
  const { page, record } = await openPage(await openBrowser(t), server.url);
  const name = '<img src=x onerror=alert(1)>.txt';
  page.on('dialog', (dialog) => {
    record.errors.push(`a dialog opened: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await chooseFiles(page, { name, mimeType: 'text/plain', buffer: Buffer.from('harmless') });
  await rowOf(page, name).waitFor({ timeout: SOON_MS });
  await rowOf(page, name)
    .getByRole('button', { name: `Delete ${name}` })
    .click();
  await page.getByRole('dialog').getByText(name).waitFor();
  assert.equal(await page.locator('img[src="x"]').count(), 0);
  assert.deepEqual(record.errors, []);
});

test('a file that another browser uploads appears without a reload, and disappears when it is deleted there', async (t) => {
  const server = await startPageServer(t);
  const [mine, theirs] = [
    await openPage(await openBrowser(t), server.url),
    await openPage(await openBrowser(t), server.url),
  ];
  for (const { page } of [mine, theirs])
    await page.locator('#connection[data-state="live"]').waitFor({ timeout: SOON_MS });

  await chooseFiles(theirs.page, await sidewaysPhoto('from-elsewhere.jpg'));
  await rowOf(mine.page, 'from-elsewhere.jpg').locator('img').waitFor({ timeout: SOON_MS });
  await announcement(mine.page, 'from-elsewhere.jpg arrived').waitFor({ state: 'attached', timeout: SOON_MS });

  await rowOf(theirs.page, 'from-elsewhere.jpg')
    .getByRole('button', { name: /^Delete/ })
    .click();
  await theirs.page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await mine.page.getByText('Nothing here yet').waitFor({ timeout: SOON_MS });
  assert.deepEqual([...mine.record.errors, ...theirs.record.errors], []);
});

test('a file that is too large is refused before a byte is sent', async (t) => {
  const server = await startPageServer(t, { MAX_UPLOAD_BYTES: '1MiB' });
  const { page, record } = await openPage(await openBrowser(t), server.url);
  await chooseFiles(page, blob('too-large.bin', 2 * 2 ** 20));
  await page
    .getByText(/exceeds maximum allowed size/)
    .first()
    .waitFor({ timeout: SOON_MS });
  assert.deepEqual(record.tus, []);
});
