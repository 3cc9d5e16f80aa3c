import type { StoredFile } from './api.ts';
import { el, icon } from './dom.ts';
import { formatAge, formatBytes, formatMoment, labelOf, nameOf } from './format.ts';
import { isProcessing } from './thumbnail-state.ts';

const OPEN_ICON =
  'M11.500 3.500h5v5M16.500 3.500l-7.500 7.500M8 4.500H5A1.500 1.500 0 0 0 3.500 6v9A1.500 1.500 0 0 0 5 16.500h9a1.500 1.500 0 0 0 1.500-1.500v-3';
const DELETE_ICON =
  'M3.500 5.500h13M8 5V3.500h4V5M5.500 5.500l.7 10a1.200 1.200 0 0 0 1.200 1h5.200a1.200 1.200 0 0 0 1.200-1l.7-10M8.500 9v4.500M11.500 9v4.500';

/** Side of the picture's place, in CSS pixels; the 128 px thumbnail serves dense screens too. */
const TILE_PX = 64;

/** One stored file in the list. */
export class FileRow {
  readonly element = el('li', { class: 'file' });
  #shown = '';
  #file: StoredFile;
  #age: HTMLElement | null = null;
  #failure: string | null = null;
  /** The picture could not be loaded: the network was away, as a rule. */
  #pictureFailed = false;
  readonly #onDelete: (file: StoredFile) => void;

  constructor(file: StoredFile, onDelete: (file: StoredFile) => void) {
    this.#file = file;
    this.#onDelete = onDelete;
    this.update(file);
  }

  get deleteButton(): HTMLElement | null {
    return this.element.querySelector('.file-delete');
  }

  /** Draws what has changed; an unchanged file costs nothing and keeps its focus. */
  update(file: StoredFile): void {
    // Read anew from the server, which is there again: so may be the picture.
    if (this.#pictureFailed && file !== this.#file) {
      this.#pictureFailed = false;
      this.#shown = '';
    }
    this.#file = file;
    const state = JSON.stringify([file, isProcessing(file, new Date()), this.#failure]);
    if (state === this.#shown) return;
    this.#shown = state;
    const focused = this.#focusedClass();
    this.element.replaceChildren(this.#tile(), this.#text(), this.#actions());
    if (focused !== null) this.element.querySelector<HTMLElement>(`.${focused}`)?.focus();
  }

  /** Time has passed. */
  updateAge(now: Date): void {
    this.update(this.#file); // a processing state ends some time
    if (this.#age !== null) this.#age.textContent = formatAge(new Date(this.#file.createdAt), now);
  }

  /** @param failure a sentence about a deletion that did not work; null takes it away */
  showFailure(failure: string | null): void {
    this.#failure = failure;
    this.update(this.#file);
  }

  setBusy(busy: boolean): void {
    this.element.toggleAttribute('aria-busy', busy);
    if (busy) this.element.setAttribute('aria-busy', 'true');
  }

  /** Redrawing replaces the buttons; whoever was on one of them should still be. */
  #focusedClass(): string | null {
    const active = document.activeElement;
    if (active === null || !this.element.contains(active)) return null;
    return active.classList.contains('file-delete') ? 'file-delete' : 'file-open';
  }

  #tile(): HTMLElement {
    const file = this.#file;
    if (file.thumbs !== null) {
      const image = el('img', {
        class: 'file-thumb',
        src: file.thumbs['128'],
        alt: '',
        width: TILE_PX,
        height: TILE_PX,
        decoding: 'async',
        loading: 'lazy',
      });
      // A thumbnail that cannot be loaded is no reason for a broken picture.
      image.addEventListener('error', () => this.#giveUpPicture(image), { once: true });
      return image;
    }
    return this.#typeTile();
  }

  #giveUpPicture(image: HTMLElement): void {
    this.#pictureFailed = true;
    image.replaceWith(this.#typeTile());
  }

  #typeTile(): HTMLElement {
    const label = labelOf(this.#file);
    const processing = isProcessing(this.#file, new Date());
    return el(
      'span',
      { class: `file-tile${processing ? ' is-processing' : ''}`, 'data-family': label.family, 'aria-hidden': 'true' },
      label.short,
    );
  }

  #text(): HTMLElement {
    const file = this.#file;
    const created = new Date(file.createdAt);
    const dimensions = file.width === null || file.height === null ? null : `${file.width} × ${file.height}`;
    this.#age = el('time', { datetime: file.createdAt, title: formatMoment(created) }, formatAge(created, new Date()));
    return el(
      'div',
      { class: 'file-text' },
      el('h3', { class: 'file-name', title: nameOf(file), dir: 'auto' }, nameOf(file)),
      el(
        'ul',
        { class: 'file-facts', role: 'list' },
        el('li', {}, labelOf(file).long),
        el('li', { title: `${file.size.toLocaleString('en')} bytes` }, formatBytes(file.size)),
        dimensions === null ? null : el('li', {}, dimensions),
        el('li', {}, this.#age),
        isProcessing(file, new Date()) ? el('li', { class: 'file-processing' }, 'Preparing a preview …') : null,
      ),
      file.problem === null ? null : el('p', { class: 'file-problem' }, file.problem),
      this.#failure === null ? null : el('p', { class: 'file-problem' }, this.#failure),
    );
  }

  #actions(): HTMLElement {
    const name = nameOf(this.#file);
    const open = el(
      'a',
      {
        class: 'button button-quiet file-open',
        href: this.#file.url,
        target: '_blank',
        rel: 'noopener noreferrer',
        'aria-label': `Open ${name} in a new tab`,
      },
      icon(OPEN_ICON),
      el('span', { class: 'button-text' }, 'Open'),
    );
    const remove = el(
      'button',
      { type: 'button', class: 'button button-quiet file-delete', 'aria-label': `Delete ${name}` },
      icon(DELETE_ICON),
      el('span', { class: 'button-text' }, 'Delete'),
    );
    remove.addEventListener('click', () => this.#onDelete(this.#file));
    return el('div', { class: 'file-actions' }, open, remove);
  }
}
