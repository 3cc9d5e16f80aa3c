/** Files leave the page: as downloads, or as links. */
import { contentPath, type StoredFile } from '../api.ts';
import { el } from '../dom.ts';
import { nameOf } from '../format.ts';

/** Browsers drop downloads that follow each other too closely. */
const BETWEEN_MS = 400;

/** One after another; the browser may ask once whether it is allowed to. */
export async function downloadFiles(files: readonly StoredFile[]): Promise<void> {
  for (const [index, file] of files.entries()) {
    if (index > 0) await new Promise((resolve) => setTimeout(resolve, BETWEEN_MS));
    el('a', { href: contentPath(file.id), download: nameOf(file) }).click();
  }
}

/** Each address in a line of its own. */
export function linksOf(files: readonly StoredFile[]): string {
  return files.map((file) => new URL(file.url, location.href).href).join('\n');
}

/**
 * Puts a text where it can be pasted from. Browsers allow that on HTTPS and on this machine only.
 *
 * @returns whether it is there
 */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
