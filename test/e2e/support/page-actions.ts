import { randomBytes } from 'node:crypto';
import type { Locator, Page } from 'playwright-core';
import sharp from 'sharp';

/** Generous: it says that something happens, not how fast. */
export const SOON_MS = 30_000;

export interface GivenFile {
  name: string;
  mimeType: string;
  buffer: Buffer;
}

/** Chooses files in the upload panel, as a person does in the system's dialog. */
export async function chooseFiles(page: Page, ...files: GivenFile[]): Promise<void> {
  const button = page.getByRole('button', { name: 'Choose files' });
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), button.click()]);
  await chooser.setFiles(files);
}

/** The row of a stored file. */
export function rowOf(page: Page, fileName: string): Locator {
  return page.locator('.file').filter({ has: page.getByRole('heading', { name: fileName, exact: true }) });
}

/** Names of the files in the list, from top to bottom. */
export function shownNames(page: Page): Promise<string[]> {
  return page.locator('.file-name').evaluateAll((names) => names.map((name) => (name as unknown as Titled).title));
}

interface Titled {
  title: string;
}

/** The card of an upload that is under way, held, or could not be. */
export function cardOf(page: Page, fileName: string): Locator {
  return page.locator('.card').filter({ has: page.getByTitle(fileName, { exact: true }) });
}

/** What the page has told screen readers, up to now. */
export function announcement(page: Page, sentence: string): Locator {
  return page.locator('#announcer').getByText(sentence, { exact: true });
}

/** Bytes that no two files share. */
export function blob(name: string, bytes: number): GivenFile {
  return { name, mimeType: 'application/octet-stream', buffer: randomBytes(bytes) };
}

/** A photo as phones take them: lying on its side, with a mark in the EXIF that says which way is up. Upright 600 × 800. */
export async function sidewaysPhoto(name: string): Promise<GivenFile> {
  const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
  const image = sharp({ create: { width: 800, height: 600, channels: 3, background: '#3a6ea5', noise } });
  return { name, mimeType: 'image/jpeg', buffer: await image.jpeg().withMetadata({ orientation: 6 }).toBuffer() };
}

/** Is the thumbnail really there, and what are its own measures? @returns null while it is not loaded */
export function loadedSize(image: Locator): Promise<{ width: number; height: number } | null> {
  return image.evaluate((element) => {
    const { complete, naturalWidth, naturalHeight } = element as unknown as HTMLImage;
    return complete && naturalWidth > 0 ? { width: naturalWidth, height: naturalHeight } : null;
  });
}

interface HTMLImage {
  complete: boolean;
  naturalWidth: number;
  naturalHeight: number;
}

/** Asks again until the answer is yes. @throws Error when it never is */
export async function eventually(what: string, ask: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + SOON_MS;
  while (!(await ask())) {
    if (Date.now() > deadline) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
