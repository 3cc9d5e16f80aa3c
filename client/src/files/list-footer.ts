import { el } from '../dom.ts';
import type { FileStore } from './file-store.ts';

/** Below the rows: the way to more of them. */
export class ListFooter {
  readonly element = el('div', { class: 'files-footer' });
  readonly #store: FileStore;
  readonly #heading: HTMLElement;
  #drawn = '';

  /** @param heading takes the focus when there is no more to show */
  constructor(store: FileStore, heading: HTMLElement) {
    this.#store = store;
    this.#heading = heading;
  }

  draw(): void {
    const { hasMore, readingMore, moreFailed, view } = this.#store;
    const state = JSON.stringify([hasMore, readingMore, moreFailed, view.query === '']);
    if (state === this.#drawn) return;
    this.#drawn = state;
    const hadFocus = this.element.contains(document.activeElement);
    if (!hasMore) {
      this.element.replaceChildren();
      if (hadFocus) this.#heading.focus();
      return;
    }
    // Stays enabled while it works: a disabled button would lose the focus.
    const more = el(
      'button',
      { type: 'button', class: 'button', 'aria-disabled': readingMore ? 'true' : null },
      readingMore ? 'Reading …' : view.query === '' ? 'Show more' : 'Search among older files',
    );
    more.addEventListener('click', () => void this.#store.showMore());
    const failure = moreFailed ? [el('p', { role: 'alert' }, 'More files could not be read.')] : [];
    this.element.replaceChildren(...failure, more);
    if (hadFocus) more.focus();
  }
}
