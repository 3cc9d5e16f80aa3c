import { el } from '../dom.ts';
import type { FileStore } from './file-store.ts';

/** What stands in place of rows when there are none, or when they cannot be read. */
export class ListNotice {
  readonly element = el('div', { class: 'notice', hidden: true });
  readonly #store: FileStore;
  readonly #onRetry: () => void;
  #drawn = '';

  constructor(store: FileStore, onRetry: () => void) {
    this.#store = store;
    this.#onRetry = onRetry;
  }

  draw(shownFiles: number): void {
    const { status, view, hasMore } = this.#store;
    const empty = view.query === '' ? 'empty' : hasMore ? 'not yet' : 'nothing';
    const kind = status === 'failed' ? 'failed' : shownFiles > 0 ? 'none' : status === 'loading' ? 'loading' : empty;
    const state = `${kind} ${view.query}`;
    if (state === this.#drawn) return;
    this.#drawn = state;
    this.element.hidden = kind === 'none';
    this.element.dataset.kind = kind;
    this.element.replaceChildren(...this.#content(kind, view.query));
  }

  #content(kind: string, query: string): Node[] {
    switch (kind) {
      case 'failed': {
        const retry = el('button', { type: 'button', class: 'button' }, 'Try again');
        retry.addEventListener('click', this.#onRetry);
        return [el('p', { role: 'alert' }, 'The list of files could not be read.'), retry];
      }
      case 'loading':
        return [el('p', {}, query === '' ? 'Reading the list of files …' : 'Searching …')];
      case 'empty':
        return [el('p', { class: 'notice-title' }, 'Nothing here yet'), el('p', {}, EMPTY)];
      case 'nothing':
        return [el('p', { class: 'notice-title' }, `No file has “${query}” in its name`)];
      case 'not yet':
        return [el('p', { class: 'notice-title' }, `No newer file has “${query}” in its name`)];
      default:
        return [];
    }
  }
}

const EMPTY = 'What you upload appears here as soon as it is stored, also for everyone else who has this page open.';
