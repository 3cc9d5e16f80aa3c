import type { FileView } from '../api.ts';
import { el } from '../dom.ts';
import type { FileStore } from './file-store.ts';

/** Somebody is still typing. */
const TYPING_MS = 250;

const SORTS: readonly (readonly [sort: FileView['sort'], label: string])[] = [
  ['newest', 'Newest first'],
  ['name', 'By name'],
  ['size', 'Largest first'],
];

/** Search and order of the list, and how many files it has. */
export class ListTools {
  readonly element: HTMLElement;
  readonly #store: FileStore;
  readonly #count: HTMLElement;
  readonly #search = el('input', {
    ...{ type: 'search', class: 'field list-search', placeholder: 'Search names', 'aria-label': 'Search names' },
    ...{ autocomplete: 'off', spellcheck: 'false', maxlength: 200 },
  });
  readonly #sort = el(
    'select',
    { class: 'field list-sort', 'aria-label': 'Order' },
    ...SORTS.map(([sort, label]) => el('option', { value: sort }, label)),
  );
  #timer: number | undefined;

  /** @param count beside the heading: how many files there are */
  constructor(store: FileStore, count: HTMLElement) {
    this.#store = store;
    this.#count = count;
    this.element = el('div', { class: 'list-tools', role: 'search', hidden: true }, this.#search, this.#sort);
    this.#search.addEventListener('input', () => {
      clearTimeout(this.#timer);
      this.#timer = window.setTimeout(() => this.#apply(), TYPING_MS);
    });
    this.#search.addEventListener('change', () => this.#apply());
    this.#sort.addEventListener('change', () => this.#apply());
  }

  draw(shownFiles: number): void {
    const { total, view, status } = this.#store;
    // An empty list needs none; one that a search has emptied does.
    if (shownFiles > 0 || view.query !== '') this.element.hidden = false;
    else if (status === 'ready') this.element.hidden = true;
    this.element.closest('.files')?.classList.toggle('is-searched', view.query !== '');
    const text = total === null || total.count === 0 ? '' : countText(total, view);
    if (this.#count.textContent !== text) this.#count.textContent = text;
  }

  #apply(): void {
    clearTimeout(this.#timer);
    const query = this.#search.value.trim().replace(/\s+/g, ' ');
    const sort = SORTS.find(([it]) => it === this.#sort.value)?.[0] ?? 'newest';
    const { view } = this.#store;
    if (query !== view.query || sort !== view.sort) void this.#store.setView({ sort, query });
  }
}

/** `128`, `3 found`, `10,000+`. */
export function countText({ count, atLeast }: { count: number; atLeast: boolean }, view: FileView): string {
  const number = `${count.toLocaleString('en')}${atLeast ? '+' : ''}`;
  return view.query === '' ? number : `${number} found`;
}
