import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { openBrowser, openPage } from '../support/browser.ts';
import { createUpload, patch, terminate } from '../support/tus-client.ts';
import { SOON_MS } from './support/page-actions.ts';
import { startPageServer } from './support/page-server.ts';

test('an upload from elsewhere that is cancelled is gone from the page at once, not after a silence', async (t) => {
  const server = await startPageServer(t);
  const { page, record } = await openPage(await openBrowser(t), server.url);
  await page.locator('#connection[data-state="live"]').waitFor({ timeout: SOON_MS });
  const upload = await createUpload(`${server.url}/files`, 2_000_000);
  // Before its timers exist: the page's clock stands still from here on.
  await page.clock.install();
  await page.clock.pauseAt(Date.now() + 60_000);
  assert.equal((await patch(upload, 0, randomBytes(1_000_000))).status, 204);
  await page.getByText('1 file is arriving from elsewhere').waitFor({ timeout: SOON_MS });
  assert.equal((await terminate(upload)).status, 204);
  await page.locator('#arrivals').waitFor({ state: 'hidden', timeout: SOON_MS });
  assert.deepEqual(record.errors, []);
});
