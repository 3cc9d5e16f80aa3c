/** What the panel shows of uploads that are under way, and what can be done with them. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Page } from 'playwright-core';
import { type BrowserOptions, openBrowser, openPage } from '../support/browser.ts';
import { startGateProxy } from './support/gate-proxy.ts';
import { assertTargets, sidewaysScroll, topOf } from './support/measure.ts';
import { blob, cardOf, chooseFiles, eventually, type GivenFile, rowOf, SOON_MS } from './support/page-actions.ts';
import { startPageServer } from './support/page-server.ts';

const MIB = 2 ** 20;

test('with the server away a card waits and tells no time; with the server back it goes on, and nothing is left of it', async (t) => {
  const { server, proxy, page } = await openSlowPage(t);
  const held = proxy.holdAfter(6 * MIB);
  await chooseFiles(page, blob('large.bin', 9 * MIB));
  await held;
  const card = cardOf(page, 'large.bin');
  await card.waitFor();
  await server.kill();
  proxy.drop();
  await card.getByText(/Waiting for the server …/).waitFor({ timeout: SOON_MS });
  await page.locator('#connection[data-state="reconnecting"]').waitFor({ timeout: SOON_MS });
  await page.evaluate(`window.seen = []; new MutationObserver(() => {
    const status = document.querySelector('.card-status');
    if (status !== null) window.seen.push(status.textContent);
  }).observe(document.querySelector('.cards'), { subtree: true, childList: true, characterData: true });`);
  await page.waitForTimeout(2_500); // some tries and ticks later
  assert.match((await card.textContent()) ?? '', /Waiting for the server …/);

  await server.start();
  await rowOf(page, 'large.bin').waitFor({ timeout: SOON_MS });
  await page.locator('#connection[data-state="live"]').waitFor({ timeout: SOON_MS });
  await card.waitFor({ state: 'detached', timeout: SOON_MS });
  const seen = (await page.evaluate('window.seen')) as string[];
  assert.deepEqual(
    seen.filter((text) => /left|\/s/.test(text)),
    [],
    'no speed and no time from less than two seconds of bytes',
  );
  assert.equal(await page.getByText(/Waiting for|Reconnecting|could not/).count(), 0);
});

test('"Cancel" asks in the card: "Keep it" changes nothing, "Cancel upload" ends it here and on the server', async (t) => {
  const { server, proxy, page, record } = await openSlowPage(t);
  page.on('dialog', (dialog) => {
    record.errors.push(`a dialog opened: ${dialog.message()}`);
    void dialog.dismiss();
  });
  const held = proxy.holdAfter(MIB);
  const created = page.waitForResponse((answer) => answer.request().method() === 'POST' && answer.status() === 201);
  await chooseFiles(page, blob('large.bin', 9 * MIB));
  const address = (await created).headers().location ?? '';
  await held;
  const card = cardOf(page, 'large.bin');
  await card.getByRole('button', { name: 'Cancel large.bin' }).click();
  await card.getByText('What has arrived is thrown away.').waitFor();
  assert.equal(await page.locator(':focus').textContent(), 'Keep it', 'the safe answer comes first');
  await page.keyboard.press('Escape');
  await card.getByRole('button', { name: 'Pause large.bin' }).waitFor();
  assert.equal(await page.locator(':focus').textContent(), 'Cancel');
  assert.equal(record.tus.filter(({ method }) => method === 'DELETE').length, 0);

  await card.getByRole('button', { name: 'Cancel large.bin' }).click();
  await card.getByRole('button', { name: 'Cancel upload of large.bin' }).click();
  await card.waitFor({ state: 'detached' });
  assert.equal(await page.locator(':focus').textContent(), 'Choose files', 'the focus is not lost');
  await eventually('the server has thrown it away', () => isGone(server.url, address));
  // Nor does it come back as somebody else's.
  assert.equal(await page.getByText(/arriving from elsewhere/).count(), 0);
  assert.deepEqual(record.errors, []);
});

test('an upload that is held after a reload can be cancelled too, on the server as well', async (t) => {
  const { server, proxy, page } = await openSlowPage(t);
  const held = proxy.holdAfter(MIB);
  const created = page.waitForResponse((answer) => answer.request().method() === 'POST' && answer.status() === 201);
  await chooseFiles(page, blob('large.bin', 9 * MIB));
  const address = (await created).headers().location ?? '';
  await held;
  await page.getByRole('button', { name: 'Pause large.bin' }).click();
  proxy.drop();
  await eventually('the address is noted for the reload', () => isAddressNoted(page, address));
  await page.reload();
  await page.getByRole('button', { name: 'Cancel large.bin' }).click({ timeout: SOON_MS });
  await page.getByRole('button', { name: 'Cancel upload of large.bin' }).click();
  await eventually('the server has thrown it away', () => isGone(server.url, address));
  await page.reload();
  await page.getByRole('button', { name: 'Choose files' }).waitFor({ timeout: SOON_MS });
  await page.locator('#connection[data-state="live"]').waitFor({ timeout: SOON_MS });
  assert.equal(await page.locator('.card').count(), 0);
});

test('the list stays where it is while uploads come, ask, pause and go', async (t) => {
  const { page } = await openSlowPage(t);
  await chooseFiles(page, blob('there.bin', 10));
  await rowOf(page, 'there.bin').waitFor({ timeout: SOON_MS });
  await cardOf(page, 'there.bin').waitFor({ state: 'detached', timeout: SOON_MS });
  const row = rowOf(page, 'there.bin');
  const top = await topOf(row);
  await slowDown(page, 100_000);
  const names = ['one.bin', 'two.bin', 'three.bin', 'four.bin'];
  await chooseFiles(page, ...names.map((name) => blob(name, 9 * MIB)));
  await cardOf(page, 'four.bin').waitFor();
  assert.equal(await topOf(row), top, 'uploading');
  await page.getByRole('button', { name: 'Pause all' }).click();
  await page.getByRole('button', { name: 'Resume all' }).waitFor();
  assert.equal(await topOf(row), top, 'paused');
  await page.getByRole('button', { name: 'Cancel all' }).click();
  assert.equal(await topOf(row), top, 'asking');
  await page.getByRole('button', { name: 'Cancel all uploads' }).click();
  await cardOf(page, 'four.bin').waitFor({ state: 'detached' });
  assert.equal(await page.locator('.card').count(), 0);
  assert.equal(await topOf(row), top, 'cancelled');
});

test('on a phone: targets for fingers, no word of dropping, no empty half, names that keep their extension', async (t) => {
  const { proxy, page } = await openSlowPage(t, { phone: true });
  await page.getByRole('button', { name: 'Choose files' }).waitFor();
  assert.equal(await page.getByText(/drop/i).filter({ visible: true }).count(), 0);
  await assertTargets(page, 'empty');
  const held = proxy.holdAfter(MIB);
  const long = `${'Screenshot of a long holiday '.repeat(7)}.final.png`;
  await chooseFiles(page, blob(long, 9 * MIB));
  await held;
  const card = cardOf(page, long);
  await card.getByRole('button', { name: /^Pause/ }).waitFor();
  await assertTargets(page, 'one upload');
  assert.deepEqual(await sidewaysScroll(page), 0);

  const name = await card.locator('.card-name').boundingBox();
  const end = card.locator('.name-end');
  const shown = await end.boundingBox();
  assert.match((await end.textContent()) ?? '', /\.png$/);
  assert.ok(name !== null && shown !== null && shown.x + shown.width <= name.x + name.width + 1, 'the end is in sight');

  // The place to choose files takes what the card leaves.
  const [panel, target, uploads] = await Promise.all(
    ['.upload-panel', '.uppy-Dashboard-AddFiles', '.uploads'].map((part) => page.locator(part).boundingBox()),
  );
  const filled = (target?.height ?? 0) + (uploads?.height ?? 0);
  assert.ok(Math.abs(filled - (panel?.height ?? 0)) <= 2, `${filled} of ${panel?.height}`);

  await card.getByRole('button', { name: /^Cancel/ }).click();
  await assertTargets(page, 'asking');
  assert.deepEqual(await sidewaysScroll(page), 0);
});

test('a file that the browser kept no copy of takes only the same file again, and goes on where it stopped', async (t) => {
  const { proxy, page, record } = await openSlowPage(t);
  const folder = await mkdtemp(join(tmpdir(), 'chosen-again-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'large.bin');
  await writeFile(path, randomBytes(9 * MIB));
  const held = proxy.holdAfter(6 * MIB);
  const created = page.waitForResponse((answer) => answer.request().method() === 'POST' && answer.status() === 201);
  const chooseWith = async (label: string, chosen: string | GivenFile) => {
    const button = page.getByRole('button', { name: label });
    const [chooser] = await Promise.all([page.waitForEvent('filechooser'), button.click()]);
    await chooser.setFiles(chosen);
  };
  await chooseWith('Choose files', path);
  const address = (await created).headers().location ?? '';
  await held;
  await eventually('the address is noted for the reload', () => isAddressNoted(page, address));
  await forgetCopies(page);
  await page.reload();
  proxy.drop();
  const card = cardOf(page, 'large.bin');
  await card.getByText(/The browser kept no copy of this file/).waitFor({ timeout: SOON_MS });

  const requests = record.tus.length;
  await chooseWith('Choose file large.bin', blob('large.bin', 500));
  await card.getByText(/That is another file/).waitFor();
  assert.equal(record.tus.length, requests);
  await chooseWith('Choose file large.bin', path);
  await rowOf(page, 'large.bin').waitFor({ timeout: SOON_MS });
  assert.equal(record.tus.filter(({ method }) => method === 'POST').length, 1);
  assert.ok(
    record.resumedAt.some((offset) => offset >= 5 * MIB),
    `resumed at ${record.resumedAt}`,
  );
});

async function openSlowPage(t: TestContext, options: BrowserOptions = {}) {
  const server = await startPageServer(t);
  const proxy = await startGateProxy(t, server.port);
  const { page, record } = await openPage(await openBrowser(t, options), proxy.url);
  await page.locator('#connection[data-state="live"]').waitFor({ timeout: SOON_MS });
  return { server, proxy, page, record };
}

/** @param bytesPerSec what leaves the browser, of all its uploads together */
async function slowDown(page: Page, bytesPerSec: number): Promise<void> {
  const session = await page.context().newCDPSession(page);
  const wishes = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: bytesPerSec };
  await session.send('Network.enable');
  await session.send('Network.emulateNetworkConditions', wishes);
}

async function isGone(serverUrl: string, address: string): Promise<boolean> {
  const { pathname } = new URL(address, serverUrl);
  const answer = await fetch(new URL(pathname, serverUrl), { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } });
  return answer.status === 404 || answer.status === 410;
}

/** Uppy writes down what it would restore twice a second. */
function isAddressNoted(page: Page, address: string): Promise<boolean> {
  return page.evaluate(`new Promise((resolve, reject) => {
    const opening = indexedDB.open('uppy-blobs');
    opening.onerror = reject;
    opening.onsuccess = () => {
      const reading = opening.result.transaction('metadata').objectStore('metadata').getAll();
      reading.onerror = reject;
      reading.onsuccess = () => {
        opening.result.close();
        resolve(reading.result.some(({ metadata }) => metadata.includes(${JSON.stringify(address.split('/').at(-1))})));
      };
    };
  })`);
}

function forgetCopies(page: Page): Promise<unknown> {
  return page.evaluate(`new Promise((resolve, reject) => {
    const opening = indexedDB.open('uppy-blobs');
    opening.onerror = reject;
    opening.onsuccess = () => {
      const clearing = opening.result.transaction('files', 'readwrite').objectStore('files').clear();
      clearing.onerror = reject;
      clearing.onsuccess = () => {
        opening.result.close();
        resolve();
      };
    };
  })`);
}
