/** "Uploads that finish": whatever breaks in the middle, no byte that the server holds is sent twice. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { Page } from 'playwright-core';
import { openBrowser, openPage, type PageRecord } from '../support/browser.ts';
import { type GateProxy, startGateProxy } from './support/gate-proxy.ts';
import { blob, cardOf, chooseFiles, eventually, type GivenFile, rowOf, SOON_MS } from './support/page-actions.ts';
import { type PageServer, startPageServer } from './support/page-server.ts';

const MIB = 2 ** 20;
/** Several parts, and more than Uppy would keep a copy of by itself (10 MiB). */
const FILE_BYTES = 23 * MIB;
/** Two whole parts of 5 MiB, and some of the third. */
const FIRST_BYTES = 12 * MIB;
const WHOLE_PARTS_BYTES = 10 * MIB;

interface Halted {
  server: PageServer;
  proxy: GateProxy;
  page: Page;
  record: PageRecord;
  file: GivenFile;
}

test('the network breaks in the middle: the upload goes on by itself where it stopped', async (t) => {
  const { server, proxy, page, record, file } = await haltInTheMiddle(t);
  await proxy.cut();
  await page.locator('#connection[data-state="reconnecting"]').waitFor({ timeout: SOON_MS });
  await proxy.open();
  await assertArrives(page, server, file);
  assertNothingTwice(record);
});

test('the computer goes offline in the middle: the upload goes on by itself when it is back', async (t) => {
  const { server, proxy, page, record, file } = await haltInTheMiddle(t);
  await page.context().setOffline(true);
  await proxy.cut();
  await page.locator('#connection[data-state="offline"]').waitFor({ timeout: SOON_MS });
  await proxy.open();
  await page.context().setOffline(false);
  await assertArrives(page, server, file);
  assertNothingTwice(record);
});

test('the page is reloaded in the middle: the upload goes on without a click', async (t) => {
  const { server, proxy, page, record, file } = await haltInTheMiddle(t);
  await page.reload();
  proxy.drop();
  await assertArrives(page, server, file);
  assertNothingTwice(record);
});

test('the server is killed in the middle and started again: the upload goes on by itself', async (t) => {
  const { server, proxy, page, record, file } = await haltInTheMiddle(t);
  await server.kill();
  proxy.drop();
  await page.locator('#connection[data-state="reconnecting"]').waitFor({ timeout: SOON_MS });
  await server.start();
  await assertArrives(page, server, file);
  assertNothingTwice(record);
  assert.ok(
    record.resumedAt.every((offset) => offset >= WHOLE_PARTS_BYTES),
    `resumed at ${record.resumedAt}`,
  );
});

test('an upload that is paused stands still until it is resumed, a reload included', async (t) => {
  const { server, proxy, page, record, file } = await haltInTheMiddle(t);
  await page.getByRole('button', { name: `Pause ${file.name}` }).click();
  const resume = page.getByRole('button', { name: /Resume/ });
  await resume.waitFor();
  proxy.drop();
  const requests = record.tus.length;

  await page.reload(); // at once: nothing but the page itself has noted the pause by now
  await resume.waitFor({ timeout: SOON_MS });
  assert.match((await cardOf(page, file.name).textContent()) ?? '', /Paused · \d+(\.\d)? MB of 23 MB/);
  assert.equal(await resume.count(), 1, 'one way to go on');
  assert.equal(record.tus.length, requests, 'no request while it is paused');

  await resume.click();
  await assertArrives(page, server, file);
  assertNothingTwice(record);
});

test('after a reload, what was paused stays so, and what was under way goes on', async (t) => {
  const { proxy, page, record, file } = await haltInTheMiddle(t);
  await page.getByRole('button', { name: `Pause ${file.name}` }).click();
  proxy.drop();
  const held = proxy.holdAfter(MIB);
  const other = blob('other.bin', 4 * MIB);
  await chooseFiles(page, other);
  await held;
  await eventually('the browser has a copy for the reload', () => isCopied(page, 2));
  await page.reload();
  proxy.drop();
  await rowOf(page, other.name).waitFor({ timeout: SOON_MS });
  const resume = page.getByRole('button', { name: `Resume ${file.name}` });
  await resume.waitFor();
  assert.equal(await rowOf(page, file.name).count(), 0);
  const posts = record.tus.filter((request) => request.method === 'POST').length;
  assert.equal(posts, 2, 'one upload each');
});

test('a second tab leaves the upload of the first alone; a tab that is opened when the first has gone takes it over', async (t) => {
  const { server, proxy, page, record, file } = await haltInTheMiddle(t);
  const second = await openPage(page.context(), proxy.url);
  await second.page.getByRole('button', { name: 'Choose files' }).waitFor({ timeout: SOON_MS });
  await second.page.reload();
  await second.page.getByRole('button', { name: 'Choose files' }).waitFor({ timeout: SOON_MS });
  await page.close();
  proxy.drop();
  const third = await openPage(second.page.context(), proxy.url);
  await assertArrives(third.page, server, file);
  assert.deepEqual(second.record.tus, []);
  assertNothingTwice({ ...record, tus: [...record.tus, ...third.record.tus], resumedAt: third.record.resumedAt });
});

test('pause and resume by keyboard, with the button of the file', async (t) => {
  const { server, proxy, page, record, file } = await haltInTheMiddle(t);
  await page.getByRole('button', { name: `Pause ${file.name}` }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: `Resume ${file.name}` }).waitFor();
  proxy.drop();
  await page.keyboard.press('Enter'); // the focus has gone to the button that took its place
  await assertArrives(page, server, file);
  assertNothingTwice(record);
});

/** An upload whose first bytes are with the server, and whose other bytes cannot get there. */
async function haltInTheMiddle(t: TestContext): Promise<Halted> {
  const server = await startPageServer(t);
  const proxy = await startGateProxy(t, server.port);
  const { page, record } = await openPage(await openBrowser(t), proxy.url);
  await page.locator('#connection[data-state="live"]').waitFor({ timeout: SOON_MS });
  const stored = await listenForProgress(t, server, WHOLE_PARTS_BYTES);
  const file = blob('large.bin', FILE_BYTES);
  const held = proxy.holdAfter(FIRST_BYTES);
  await chooseFiles(page, file);
  await held;
  await stored.reached;
  return { server, proxy, page, record, file };
}

/** `reached` is the moment when the server says that it holds so many bytes of some upload. */
async function listenForProgress(
  t: TestContext,
  server: PageServer,
  bytes: number,
): Promise<{ reached: Promise<void> }> {
  const closing = new AbortController();
  t.after(() => closing.abort());
  const answer = await fetch(`${server.url}/api/events`, { signal: closing.signal });
  const reached = (async () => {
    let text = '';
    for await (const chunk of answer.body ?? []) {
      text += Buffer.from(chunk).toString('utf8');
      const offsets = [...text.matchAll(/"offset":(\d+)/g)].map((match) => Number(match[1]));
      if (offsets.some((offset) => offset >= bytes)) return;
    }
  })();
  reached.catch(() => {}); // the test awaits it, unless it fails before
  return { reached };
}

async function assertArrives(page: Page, server: PageServer, file: GivenFile): Promise<void> {
  const link = rowOf(page, file.name).getByRole('link');
  await link.waitFor({ timeout: SOON_MS });
  const stored = await fetch(new URL((await link.getAttribute('href')) ?? '', server.url));
  assert.equal(digest(Buffer.from(await stored.arrayBuffer())), digest(file.buffer));
  await eventually('the panel is empty again', () => page.getByRole('button', { name: 'Choose files' }).isVisible());
}

/** One POST; one PATCH from 0, the first; every other PATCH begins where the server said that its bytes end. */
function assertNothingTwice(record: PageRecord): void {
  const { tus, resumedAt } = record;
  assert.equal(tus.filter((request) => request.method === 'POST').length, 1, 'one upload was created');
  const [first, ...others] = tus.filter((request) => request.method === 'PATCH').map((request) => request.offset);
  assert.equal(first, 0);
  assert.ok(others.length >= 1, 'the upload was interrupted');
  for (const offset of others) {
    assert.ok(offset !== null && offset > 0, `a PATCH began at ${offset}`);
    assert.ok(resumedAt.includes(offset), `a PATCH began at ${offset}; the server had said ${resumedAt}`);
  }
}

/** Has Uppy's copy of so many files been written? */
function isCopied(page: Page, files: number): Promise<boolean> {
  return page.evaluate(`new Promise((resolve, reject) => {
    const opening = indexedDB.open('uppy-blobs');
    opening.onerror = reject;
    opening.onsuccess = () => {
      const counting = opening.result.transaction('files').objectStore('files').count();
      counting.onerror = reject;
      counting.onsuccess = () => {
        opening.result.close();
        resolve(counting.result >= ${files});
      };
    };
  })`);
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
