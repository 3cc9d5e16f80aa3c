import { el, icon } from '../dom.ts';
import { ICONS } from '../icons.ts';
import { paceText } from './card-view.ts';
import type { Batch, Uploads } from './uploads.ts';

/** One line about all uploads, with what can be done to all of them; there when they are more than one. */
export class BatchBar {
  readonly element: HTMLElement;
  readonly #text = el('p', { class: 'batch-text' });
  readonly #actions = el('div', { class: 'batch-actions' });
  readonly #uploads: Uploads;
  readonly #onChange: () => void;
  #asking = false;
  #drawn = '';
  #canPause = true;

  constructor(uploads: Uploads, onChange: () => void) {
    this.#uploads = uploads;
    this.#onChange = onChange;
    this.element = el('div', { class: 'batch', hidden: true }, this.#text, this.#actions);
    this.#actions.addEventListener('keydown', (event) => event.key === 'Escape' && this.#ask(false));
  }

  draw(batch: Batch): void {
    this.element.hidden = batch.unfinished < 2;
    if (this.element.hidden) this.#asking = false;
    const text = batchText(batch);
    if (this.#text.textContent !== text) this.#text.textContent = text;
    this.#canPause = batch.halted < batch.unfinished;
    this.#drawActions();
  }

  #drawActions(): void {
    const state = `${this.#asking} ${this.#canPause}`;
    if (state === this.#drawn) return;
    this.#drawn = state;
    const hadFocus = this.#actions.contains(document.activeElement);
    this.#actions.replaceChildren(...(this.#asking ? this.#question() : this.#choices()));
    if (hadFocus) this.#actions.querySelector('button')?.focus();
  }

  #choices(): HTMLElement[] {
    const halt = this.#canPause
      ? this.#button('Pause all', '', () => this.#uploads.pauseAll(), ICONS.pause)
      : this.#button('Resume all', ' button-primary', () => this.#uploads.resumeAll(), ICONS.resume);
    return [halt, this.#button('Cancel all', ' button-quiet', () => this.#ask(true))];
  }

  #question(): HTMLElement[] {
    return [
      el('span', { class: 'card-question', role: 'alert' }, 'What has arrived is thrown away.'),
      this.#button('Keep them', '', () => this.#ask(false)),
      this.#button('Cancel all uploads', ' button-danger', () => {
        this.#asking = false;
        this.#uploads.cancelAll();
      }),
    ];
  }

  #button(label: string, look: string, act: () => void, path: string | null = null): HTMLElement {
    const attributes = { type: 'button', class: `button button-small${look}` };
    const button = el('button', attributes, path === null ? null : icon(path), label);
    button.addEventListener('click', () => {
      act();
      this.#onChange();
    });
    return button;
  }

  #ask(asking: boolean): void {
    this.#asking = asking;
    this.#drawActions();
    this.#actions.querySelector('button')?.focus();
  }
}

/** `3 of 12 stored · 45 % · 12 MB/s · 2 min left`. */
export function batchText(batch: Batch): string {
  const { unfinished, halted, stored, percent } = batch;
  const head = stored === 0 ? `${unfinished} uploads` : `${stored} of ${stored + unfinished} stored`;
  const pace = paceText(batch.bytesPerSec, batch.leftBytes);
  if (halted === unfinished) return `${head} · paused at ${percent} %`;
  if (batch.waiting) return `${head} · ${percent} % · waiting for the server …`;
  return pace === null || halted > 0 ? `${head} · ${percent} %` : `${head} · ${percent} % · ${pace}`;
}
