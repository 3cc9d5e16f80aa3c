import type { StoredFile } from '../api.ts';
import { el, icon } from '../dom.ts';
import { nameOf } from '../format.ts';
import { ICONS } from '../icons.ts';
import { nameParts } from '../name-parts.ts';
import { previewOf } from './preview-source.ts';

/**
 * Shows pictures, films and sound in the page. A native modal dialog: it keeps the focus, Escape closes it, and the
 * focus returns to where it came from. The arrow keys go to the neighbours in the list.
 */
export class PreviewDialog {
  readonly #files: () => readonly StoredFile[];
  readonly #name = el('h2', { class: 'preview-name name', id: 'preview-name', dir: 'auto' });
  readonly #stage = el('div', { class: 'preview-stage' });
  readonly #previous = iconButton('Previous', ICONS.previous);
  readonly #next = iconButton('Next', ICONS.next);
  readonly #open = el(
    'a',
    { class: 'button button-quiet', target: '_blank', rel: 'noopener noreferrer' },
    icon(ICONS.open),
  );
  readonly #dialog: HTMLDialogElement;
  #fileId = '';

  /** @param files those of the list, in its order */
  constructor(files: () => readonly StoredFile[]) {
    this.#files = files;
    const close = iconButton('Close', ICONS.close);
    close.autofocus = true;
    const bar = el('div', { class: 'preview-bar' }, this.#name, this.#previous, this.#next, this.#open, close);
    this.#dialog = el('dialog', { class: 'preview', 'aria-labelledby': 'preview-name' }, bar, this.#stage);
    document.body.append(this.#dialog);
    close.addEventListener('click', () => this.#dialog.close());
    this.#previous.addEventListener('click', () => this.#step(-1));
    this.#next.addEventListener('click', () => this.#step(1));
    // A click beside the picture; on the backdrop the target is the dialog itself.
    this.#dialog.addEventListener('click', ({ target }) => {
      if (target === this.#dialog || target === this.#stage) this.#dialog.close();
    });
    this.#dialog.addEventListener('close', () => this.#stage.replaceChildren()); // ends sound, and the request behind it
    this.#dialog.addEventListener('keydown', (event) => this.#followKey(event));
  }

  show(file: StoredFile): void {
    this.#draw(file);
    this.#dialog.showModal();
  }

  #draw(file: StoredFile): void {
    const source = previewOf(file);
    if (source === null) return;
    this.#fileId = file.id;
    const name = nameOf(file);
    this.#name.replaceChildren(...nameParts(name));
    this.#name.title = name;
    this.#name.setAttribute('aria-label', name);
    this.#open.href = file.url;
    this.#open.setAttribute('aria-label', `Open ${name} in a new tab`);
    const shown = this.#element(source.kind, source.url, name);
    shown.addEventListener('error', () => this.#stage.replaceChildren(sorry()), { once: true });
    this.#stage.replaceChildren(shown);
    this.#previous.setAttribute('aria-disabled', String(this.#neighbour(-1) === undefined));
    this.#next.setAttribute('aria-disabled', String(this.#neighbour(1) === undefined));
  }

  #element(kind: 'image' | 'video' | 'audio', url: string, name: string): HTMLElement {
    if (kind === 'image') return el('img', { class: 'preview-image', src: url, alt: name });
    const attributes = { src: url, controls: true, preload: 'metadata', 'aria-label': name, playsinline: true };
    return el(kind, { ...attributes, class: `preview-${kind}` });
  }

  #step(by: 1 | -1): void {
    const file = this.#neighbour(by);
    if (file !== undefined) this.#draw(file);
  }

  #neighbour(by: 1 | -1): StoredFile | undefined {
    const files = this.#files().filter((file) => file.id === this.#fileId || previewOf(file) !== null);
    const place = files.findIndex((file) => file.id === this.#fileId);
    return place === -1 ? files[0] : files[place + by];
  }

  /** In a film the arrows go back and forth in time. */
  #followKey(event: KeyboardEvent): void {
    if (event.target instanceof HTMLMediaElement || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === 'ArrowLeft') this.#step(-1);
    if (event.key === 'ArrowRight') this.#step(1);
  }
}

function iconButton(label: string, path: string): HTMLButtonElement {
  return el('button', { type: 'button', class: 'button button-quiet', 'aria-label': label, title: label }, icon(path));
}

function sorry(): HTMLElement {
  return el('p', { class: 'preview-sorry', role: 'alert' }, 'It cannot be shown here. It may still open in a new tab.');
}
