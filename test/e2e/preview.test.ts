/** Pictures and films in the page, and what is not what it is called. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBrowser, openPage } from '../support/browser.ts';
import { eventually, loadedSize, rowOf, SOON_MS, sidewaysPhoto } from './support/page-actions.ts';
import { startPageServer } from './support/page-server.ts';
import { storeFile } from './support/store-file.ts';

test('a picture is shown in the page, the arrow keys lead to the next one, and Escape back to its row', async (t) => {
  const server = await startPageServer(t);
  const photo = await sidewaysPhoto('photo.jpg');
  await storeFile(server, 'first.jpg', photo.buffer, photo.mimeType);
  await storeFile(server, 'between.txt', 'no picture');
  await storeFile(server, 'second.jpg', photo.buffer, photo.mimeType);
  const { page, record } = await openPage(await openBrowser(t), server.url);
  const opener = page.getByRole('button', { name: 'Preview second.jpg' });
  await opener.locator('img').waitFor({ timeout: SOON_MS });
  await page.getByRole('button', { name: 'Preview first.jpg' }).locator('img').waitFor({ timeout: SOON_MS });
  await opener.focus();
  await page.keyboard.press('Enter');
  const image = page.getByRole('dialog', { name: 'second.jpg' }).getByRole('img', { name: 'second.jpg' });
  await image.waitFor();
  await eventually('the whole picture loads', async () => (await loadedSize(image))?.height === 800);

  await page.keyboard.press('ArrowRight');
  await page.getByRole('dialog', { name: 'first.jpg' }).getByRole('img', { name: 'first.jpg' }).waitFor();
  await page.keyboard.press('ArrowRight'); // the last one
  await page.keyboard.press('ArrowLeft');
  await page.getByRole('dialog', { name: 'second.jpg' }).waitFor();
  await page.keyboard.press('Escape');
  await page
    .getByRole('dialog')
    .waitFor({ state: 'detached' })
    .catch(() => {});
  assert.equal(await page.getByRole('dialog').count(), 0);
  assert.equal(await page.locator(':focus').getAttribute('aria-label'), 'Preview second.jpg');
  assert.deepEqual(record.errors, []);
});

test('sound is played in the page, by ranges, and ends with the dialog', async (t) => {
  const server = await startPageServer(t);
  await storeFile(server, 'tone.wav', tone(8_000), 'audio/wav');
  const { page, record } = await openPage(await openBrowser(t), server.url);
  const ranged = page.waitForRequest((request) => request.headers().range !== undefined);
  await page.getByRole('button', { name: 'Preview tone.wav' }).click({ timeout: SOON_MS });
  const audio = page.getByRole('dialog', { name: 'tone.wav' }).locator('audio');
  const lengthSecs = () => audio.evaluate((element) => (element as unknown as { duration: number }).duration);
  await eventually('its length is known', async () => Math.round(await lengthSecs()) === 1);
  await ranged;
  await page.getByRole('button', { name: 'Close' }).click();
  assert.equal(await page.locator('audio').count(), 0);
  assert.deepEqual(record.errors, []);
});

test('what could run, or is not what it is called, has no preview, and its row says what it is', async (t) => {
  const server = await startPageServer(t);
  const svg = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>';
  await storeFile(server, 'drawing.svg', `<?xml version="1.0"?>${svg}`, 'image/svg+xml');
  await storeFile(server, 'page.html', '<!doctype html><script>alert(1)</script>', 'text/html');
  await storeFile(server, 'svg-as.png', svg, 'image/png');
  await storeFile(server, 'not-an-image.jpg', 'I am text', 'image/jpeg');
  await storeFile(server, 'archive.png', Buffer.from('504b030414000000080000000000', 'hex'), 'image/png');
  await storeFile(server, 'empty.gif', '', 'image/gif');
  const { page } = await openPage(await openBrowser(t), server.url);
  await page.locator('.file').nth(5).waitFor({ timeout: SOON_MS });
  assert.equal(await page.getByRole('button', { name: /^Preview/ }).count(), 0);
  const problemOf = (name: string) => rowOf(page, name).locator('.file-problem').textContent();
  assert.equal(await problemOf('not-an-image.jpg'), 'This is not an image, although it is called one.');
  assert.equal(
    await problemOf('archive.png'),
    'This is not an image, although it is called one. Its content: ZIP archive.',
  );
  assert.equal(await problemOf('empty.gif'), 'The file is empty.');
  assert.match((await problemOf('svg-as.png')) ?? '', /^This is not an image, although it is called one/);
  assert.match((await rowOf(page, 'not-an-image.jpg').textContent()) ?? '', /JPG file/);
  assert.equal(await rowOf(page, 'drawing.svg').locator('.file-problem').count(), 0);
});

/** A second of sound. */
function tone(samples: number): Buffer {
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.writeUInt32LE(36 + samples, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20); // PCM
  head.writeUInt16LE(1, 22); // mono
  head.writeUInt32LE(samples, 24);
  head.writeUInt32LE(samples, 28);
  head.writeUInt16LE(1, 32);
  head.writeUInt16LE(8, 34); // bits
  head.write('data', 36);
  head.writeUInt32LE(samples, 40);
  const body = Buffer.from(Array.from({ length: samples }, (_, index) => 128 + 60 * Math.sin(index / 3)));
  return Buffer.concat([head, body]);
}
