import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { TestContext } from 'node:test';
import { type BrowserContext, chromium, type Page } from 'playwright-core';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export interface BrowserOptions {
  colorScheme?: 'light' | 'dark';
  widthPx?: number;
  /** A touch screen of 390 × 844, without a pointer that hovers. */
  phone?: boolean;
}

/** One Chromium with a profile of its own, so that what it stores survives a reload and nothing else. Closed after the test. */
export async function openBrowser(t: TestContext, options: BrowserOptions = {}): Promise<BrowserContext> {
  const profile = await mkdtemp(join(tmpdir(), 'page-test-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: findChromium(),
    args: FLAGS,
    colorScheme: options.colorScheme ?? 'light',
    viewport: options.phone ? { width: 390, height: 844 } : { width: options.widthPx ?? 1280, height: 900 },
    isMobile: options.phone ?? false,
    hasTouch: options.phone ?? false,
    reducedMotion: 'reduce',
    chromiumSandbox: false,
  });
  t.after(async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 3 });
  });
  return context;
}

export interface TusRequest {
  method: string;
  /** What the request says: where its bytes begin. null for what is not a PATCH. */
  offset: number | null;
}

/** What a page did that nobody sees. */
export interface PageRecord {
  /** Error lines of the console and exceptions that nobody caught; those about a lost connection left out. */
  readonly errors: string[];
  /** The requests to the tus endpoint, in order. */
  readonly tus: TusRequest[];
  /** The offsets that the server answered to HEAD requests. */
  readonly resumedAt: number[];
}

const LOST_CONNECTION = /net::ERR_(?!BLOCKED)|status of (423|5\d\d)/;

/** Opens the address in a new tab. @param tusPath path of the tus endpoint */
export async function openPage(
  context: BrowserContext,
  url: string,
  tusPath = '/files',
): Promise<{ page: Page; record: PageRecord }> {
  const page = await context.newPage();
  const record: PageRecord = { errors: [], tus: [], resumedAt: [] };
  page.on('console', (message) => {
    if (message.type() === 'error' && !LOST_CONNECTION.test(message.text())) record.errors.push(message.text());
  });
  page.on('pageerror', (error) => record.errors.push(`${error}`));
  const isTus = (address: string) => new URL(address).pathname.startsWith(tusPath);
  page.on('request', (request) => {
    if (!isTus(request.url())) return;
    const offset = request.headers()['upload-offset'];
    record.tus.push({ method: request.method(), offset: offset === undefined ? null : Number(offset) });
  });
  page.on('response', (response) => {
    if (!isTus(response.url()) || response.request().method() !== 'HEAD' || !response.ok()) return;
    record.resumedAt.push(Number(response.headers()['upload-offset']));
  });
  await page.goto(url);
  return { page, record };
}

/** `CHROMIUM_PATH`, or `chromium` on the PATH. @throws Error when there is neither */
function findChromium(): string {
  const { CHROMIUM_PATH, PATH = '' } = process.env;
  const places = CHROMIUM_PATH ? [CHROMIUM_PATH] : PATH.split(delimiter).map((folder) => join(folder, 'chromium'));
  const found = places.find(isExecutable);
  if (found === undefined) throw new Error('no chromium found: install it, or name it in CHROMIUM_PATH');
  return found;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
