import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { openBrowser, openPage } from '../support/browser.ts';
import { startGateProxy } from './support/gate-proxy.ts';
import { sidewaysScroll } from './support/measure.ts';
import { blob, cardOf, chooseFiles, rowOf, SOON_MS, sidewaysPhoto } from './support/page-actions.ts';
import { startPageServer } from './support/page-server.ts';

for (const colorScheme of ['light', 'dark'] as const) {
  for (const widthPx of [360, 1280]) {
    test(`no accessibility fault in ${colorScheme} at ${widthPx} px: empty, uploading, paused, refused, asking, with files`, async (t) => {
      const server = await startPageServer(t, { MAX_UPLOAD_BYTES: '8MiB' });
      const proxy = await startGateProxy(t, server.port);
      const { page, record } = await openPage(await openBrowser(t, { colorScheme, widthPx }), proxy.url);
      await page.getByText('Nothing here yet').waitFor();
      await assertAccessible(page, 'empty');

      const held = proxy.holdAfter(2 ** 20);
      await chooseFiles(page, await sidewaysPhoto('one.jpg'), blob('two.zip', 2 ** 22));
      await held;
      await page.getByRole('button', { name: 'Pause two.zip' }).waitFor();
      await assertAccessible(page, 'uploading');
      await page.getByRole('button', { name: 'Cancel two.zip' }).click();
      await assertAccessible(page, 'asking whether to cancel');
      await page.getByRole('button', { name: 'Keep it: two.zip' }).click();
      await page.getByRole('button', { name: 'Pause two.zip' }).click();
      await page.getByRole('button', { name: 'Resume two.zip' }).waitFor();
      await assertAccessible(page, 'paused');
      await chooseFiles(page, blob('huge.bin', 9 * 2 ** 20));
      await cardOf(page, 'huge.bin').waitFor();
      await assertAccessible(page, 'refused');

      proxy.release();
      await page.getByRole('button', { name: 'Resume two.zip' }).click();
      await rowOf(page, 'two.zip').waitFor({ timeout: SOON_MS });
      await rowOf(page, 'one.jpg').locator('img').waitFor({ timeout: SOON_MS });
      await assertAccessible(page, 'with files');
      await rowOf(page, 'one.jpg').getByRole('button', { name: 'Delete one.jpg' }).click();
      await assertAccessible(page, 'asking');
      await page.keyboard.press('Escape');
      await page.getByLabel('Select all').check();
      await assertAccessible(page, 'selected');
      await page.getByRole('button', { name: 'Preview one.jpg' }).click();
      await page.getByRole('dialog').locator('img').waitFor();
      await assertAccessible(page, 'previewing');
      await page.keyboard.press('Escape');
      assert.deepEqual(await sidewaysScroll(page), 0, 'nothing sticks out sideways');
      assert.deepEqual(record.errors, []);
    });
  }
}

test('every control of the page can be reached with the Tab key, and shows that it has the focus', async (t) => {
  const server = await startPageServer(t);
  const { page } = await openPage(await openBrowser(t), server.url);
  await chooseFiles(page, blob('one.bin', 100));
  await rowOf(page, 'one.bin').waitFor({ timeout: SOON_MS });
  await page.reload(); // tabbing starts at the top again
  await page.getByRole('button', { name: 'Choose files' }).waitFor({ timeout: SOON_MS });
  await rowOf(page, 'one.bin').waitFor({ timeout: SOON_MS });

  const names: string[] = [];
  for (let step = 0; step < 8; step += 1) {
    await page.keyboard.press('Tab');
    const focused = page.locator(':focus');
    names.push(await focused.evaluate(nameOf));
    const outline = await focused.evaluate(outlineOf);
    assert.match(outline, /^(solid|auto)$/, `${names.at(-1)} shows its focus`);
  }
  assert.deepEqual(names, [
    ...['Skip to the stored files', 'Choose files', 'Search names', 'Order', 'Select all', 'Select one.bin'],
    ...['Open one.bin in a new tab', 'Delete one.bin'],
  ]);
});

/** Run in the page, where these are the browser's own; the tests are compiled without them. */
interface Labelled {
  getAttribute(name: string): string | null;
  labels?: readonly { textContent: string }[];
  textContent: string;
}

function nameOf(element: unknown): string {
  const { labels, textContent } = element as Labelled;
  return (element as Labelled).getAttribute('aria-label') ?? labels?.[0]?.textContent ?? textContent;
}

function outlineOf(element: unknown): string {
  type Styles = { getComputedStyle(element: unknown): { outlineStyle: string } };
  return (globalThis as unknown as Styles).getComputedStyle(element).outlineStyle;
}

interface AxeResult {
  violations: { id: string; impact: string | null; nodes: { html: string; failureSummary: string }[] }[];
  passes: unknown[];
}

const axeSource = readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

async function assertAccessible(page: Page, state: string): Promise<void> {
  await page.evaluate(`${await axeSource}; undefined`);
  const { violations, passes } = (await page.evaluate('window.axe.run()')) as AxeResult;
  assert.ok(passes.length > 10, `axe looked at the page (${state})`);
  const found = violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join('; ')}`);
  assert.deepEqual(found, [], state);
}
