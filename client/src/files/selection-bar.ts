import { el, icon } from '../dom.ts';
import { ICONS } from '../icons.ts';
import type { Selection } from './selection.ts';

export interface SelectionActions {
  download(): void;
  copyLinks(): void;
  delete(): void;
}

/** Above the rows: "select all", and what can be done with what is selected. It has one height, whatever it shows. */
export class SelectionBar {
  readonly element: HTMLElement;
  readonly #selection: Selection;
  readonly #all = el('input', { type: 'checkbox', class: 'checkbox' });
  readonly #label = el('span', {}, 'Select all');
  readonly #actions: HTMLElement;

  constructor(selection: Selection, actions: SelectionActions) {
    this.#selection = selection;
    this.#actions = el(
      'div',
      { class: 'selection-actions', role: 'group', 'aria-label': 'With the selected files', hidden: true },
      button('Download', ICONS.download, actions.download),
      button('Copy links', ICONS.link, actions.copyLinks),
      button('Delete', ICONS.delete, actions.delete),
    );
    this.element = el(
      'div',
      { class: 'selection-bar', hidden: true },
      el('label', { class: 'selection-all' }, this.#all, this.#label),
      this.#actions,
    );
    this.#all.addEventListener('change', () => this.#selection.setAll(this.#all.checked));
  }

  draw(shownFiles: number): void {
    const { size } = this.#selection;
    this.element.hidden = shownFiles === 0;
    this.#all.checked = size > 0 && size === shownFiles;
    this.#all.indeterminate = size > 0 && size < shownFiles;
    const text = size === 0 ? 'Select all' : `${size} selected`;
    if (this.#label.textContent !== text) this.#label.textContent = text;
    const hadFocus = this.#actions.contains(document.activeElement);
    this.#actions.hidden = size === 0;
    if (hadFocus && size === 0) this.#all.focus();
  }
}

function button(label: string, path: string, act: () => void): HTMLElement {
  const element = el(
    'button',
    {
      type: 'button',
      class: 'button button-small button-quiet',
      'aria-label': `${label}: selected files`,
      title: label,
    },
    icon(path),
    el('span', { class: 'button-text' }, label),
  );
  element.addEventListener('click', act);
  return element;
}
