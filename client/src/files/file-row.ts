import type { StoredFile } from '../api.ts';
import { el, icon } from '../dom.ts';
import { formatAge, formatBytes, formatMoment, labelOf, nameOf } from '../format.ts';
import { ICONS } from '../icons.ts';
import { nameParts } from '../name-parts.ts';
import { falseClaimOf } from './false-claim.ts';
import { FileTile } from './file-tile.ts';
import { previewOf } from './preview-source.ts';
import { isProcessing } from './thumbnail-state.ts';

export interface RowActions {
  preview(file: StoredFile): void;
  delete(file: StoredFile): void;
  /** @param isRange Shift was held */
  select(fileId: string, selected: boolean, isRange: boolean): void;
}

/** One stored file in the list. */
export class FileRow {
  readonly element = el('li', { class: 'file' });
  readonly #checkbox = el('input', { type: 'checkbox', class: 'checkbox' });
  readonly #check = el('label', { class: 'file-check' }, this.#checkbox);
  readonly #tile = new FileTile();
  readonly #actions: RowActions;
  #shown = '';
  #file: StoredFile;
  #age: HTMLElement | null = null;
  #failure: string | null = null;

  constructor(file: StoredFile, actions: RowActions) {
    this.#file = file;
    this.#actions = actions;
    this.#checkbox.addEventListener('click', ({ shiftKey }) => {
      this.#actions.select(this.#file.id, this.#checkbox.checked, shiftKey);
    });
    this.update(file);
  }

  /** Draws what has changed; an unchanged file costs nothing and keeps its focus. */
  update(file: StoredFile): void {
    // Read anew from the server, which is there again: so may be the picture.
    if (this.#tile.hasFailed && file !== this.#file) {
      this.#tile.tryAgain();
      this.#shown = '';
    }
    this.#file = file;
    const state = JSON.stringify([file, isProcessing(file, new Date()), this.#failure]);
    if (state === this.#shown) return;
    this.#shown = state;
    this.#checkbox.setAttribute('aria-label', `Select ${nameOf(file)}`);
    const focused = FOCUSABLE.find((it) => this.element.querySelector(`.${it}`) === document.activeElement);
    this.element.replaceChildren(this.#check, this.#picture(), this.#text(), this.#buttons());
    if (focused !== undefined) this.element.querySelector<HTMLElement>(`.${focused}`)?.focus();
  }

  /** Time has passed. */
  updateAge(now: Date): void {
    this.update(this.#file); // a processing state ends some time
    if (this.#age !== null) this.#age.textContent = formatAge(new Date(this.#file.createdAt), now);
  }

  showSelected(selected: boolean): void {
    if (this.#checkbox.checked !== selected) this.#checkbox.checked = selected;
    this.element.classList.toggle('is-selected', selected);
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

  #picture(): HTMLElement {
    const tile = this.#tile.draw(this.#file);
    const source = previewOf(this.#file);
    if (source === null) return tile;
    // What is to be read on a button belongs into its name: who speaks to the page says what is there.
    const letters = tile.textContent === '' ? '' : `, ${tile.textContent}`;
    const button = el(
      'button',
      { type: 'button', class: 'file-preview', 'aria-label': `Preview ${nameOf(this.#file)}${letters}` },
      tile,
      source.kind === 'image' ? null : el('span', { class: 'file-play' }, icon(ICONS.play)),
    );
    button.addEventListener('click', () => this.#actions.preview(this.#file));
    return button;
  }

  #text(): HTMLElement {
    const file = this.#file;
    const name = nameOf(file);
    const created = new Date(file.createdAt);
    const dimensions = file.width === null || file.height === null ? null : `${file.width} × ${file.height}`;
    const problem = file.problem ?? falseClaimOf(file);
    this.#age = el('time', { datetime: file.createdAt, title: formatMoment(created) }, formatAge(created, new Date()));
    return el(
      'div',
      { class: 'file-text' },
      el('h3', { class: 'file-name name', title: name, 'aria-label': name, dir: 'auto' }, ...nameParts(name)),
      el(
        'ul',
        { class: 'file-facts', role: 'list' },
        el('li', {}, labelOf(file).long),
        el('li', { title: `${file.size.toLocaleString('en')} bytes` }, formatBytes(file.size)),
        dimensions === null ? null : el('li', {}, dimensions),
        el('li', {}, this.#age),
        isProcessing(file, new Date()) ? el('li', { class: 'file-processing' }, 'Preparing a preview …') : null,
      ),
      problem === null ? null : el('p', { class: 'file-problem' }, problem),
      this.#failure === null ? null : el('p', { class: 'file-problem' }, this.#failure),
    );
  }

  #buttons(): HTMLElement {
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
      icon(ICONS.open),
      el('span', { class: 'button-text' }, 'Open'),
    );
    const remove = el(
      'button',
      { type: 'button', class: 'button button-quiet file-delete', 'aria-label': `Delete ${name}` },
      icon(ICONS.delete),
      el('span', { class: 'button-text' }, 'Delete'),
    );
    remove.addEventListener('click', () => this.#actions.delete(this.#file));
    return el('div', { class: 'file-actions' }, open, remove);
  }
}

/** Redrawing replaces these; whoever was on one of them should still be. */
const FOCUSABLE = ['file-delete', 'file-open', 'file-preview', 'checkbox'] as const;
