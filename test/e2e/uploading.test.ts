import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBrowser, openPage } from '../support/browser.ts';
import {
  announcement,
  blob,
  cardOf,
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

test('a file that is too large is refused before a byte is sent, and its card says why', async (t) => {
  const server = await startPageServer(t, { MAX_UPLOAD_BYTES: '1MiB' });
  const { page, record } = await openPage(await openBrowser(t), server.url);
  page.on('dialog', (dialog) => {
    record.errors.push(`a dialog opened: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await chooseFiles(page, blob('too-large.bin', 2 * 2 ** 20), blob('fits.bin', 1000));
  const card = cardOf(page, 'too-large.bin');
  await card.getByText('Too large: it has 2 MB, and the server takes up to 1 MB each.').waitFor({ timeout: SOON_MS });
  await rowOf(page, 'fits.bin').waitFor({ timeout: SOON_MS });
  await card.getByRole('button', { name: 'Remove too-large.bin' }).click();
  await card.waitFor({ state: 'detached' });
  assert.equal(record.tus.filter(({ method }) => method === 'POST').length, 1, 'of the other file');
  assert.deepEqual(record.errors, []);
});

for (const [status, said, shown] of [
  [
    413,
    'ERR_MAX_SIZE_EXCEEDED: the upload is larger than 1 MiB',
    'The server refused it: the upload is larger than 1 MiB.',
  ],
  [403, 'ERR_UPLOAD_REJECTED: this folder is closed', 'The server refused it: this folder is closed.'],
  [400, '<html><h1>Bad Request</h1></html>', 'The server refused it (400).'],
] as const) {
  test(`a refusal by the server (${status}) is said in the file’s card, without a dialog, and can be tried again`, async (t) => {
    const server = await startPageServer(t);
    const context = await openBrowser(t);
    await context.route('**/files', (route) => route.fulfill({ status, contentType: 'text/plain', body: said }));
    const { page, record } = await openPage(context, server.url);
    page.on('dialog', (dialog) => {
      record.errors.push(`a dialog opened: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await chooseFiles(page, blob('one.bin', 1000));
    const card = cardOf(page, 'one.bin');
    await card.getByText(shown, { exact: true }).waitFor({ timeout: SOON_MS });
    await announcement(page, `one.bin: ${shown}`).waitFor({ state: 'attached' });

    // Another file does not make the page ask again for what was refused.
    const posts = record.tus.length;
    await chooseFiles(page, blob('two.bin', 1000));
    await cardOf(page, 'two.bin').getByText(shown, { exact: true }).waitFor({ timeout: SOON_MS });
    assert.equal(record.tus.length, posts + 1);

    await context.unroute('**/files');
    await card.getByRole('button', { name: 'Try again one.bin' }).click();
    await rowOf(page, 'one.bin').waitFor({ timeout: SOON_MS });
    await card.waitFor({ state: 'detached', timeout: SOON_MS });
    assert.ok(
      record.errors.every((line) => line.includes(`${status}`)),
      `${record.errors}`,
    );
  });
}
