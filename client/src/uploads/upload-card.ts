import { el, icon } from '../dom.ts';
import { ICONS } from '../icons.ts';
import { nameParts } from '../name-parts.ts';
import { type CardAction, type CardView, viewOf } from './card-view.ts';
import type { Upload } from './uploads.ts';

type OnAction = (action: CardAction, fileId: string) => void;

/** `label` is the visible text; with the file's name after it, it is what a screen reader says. */
const BUTTONS: Readonly<Record<CardAction, { label: string; look: string; path: string | null }>> = {
  pause: { label: 'Pause', look: '', path: ICONS.pause },
  resume: { label: 'Resume', look: ' button-primary', path: ICONS.resume },
  retry: { label: 'Try again', look: '', path: ICONS.retry },
  choose: { label: 'Choose file', look: ' button-primary', path: ICONS.choose },
  // A word without a sign or a frame: not to be taken for its neighbour.
  cancel: { label: 'Cancel', look: ' button-quiet', path: null },
  dismiss: { label: 'Remove', look: ' button-quiet', path: null },
};

/** One upload in the panel. Cancelling asks in the card itself. */
export class UploadCard {
  readonly element = el('li', { class: 'card' });
  readonly #upload: Pick<Upload, 'fileId' | 'name'>;
  readonly #onAction: OnAction;
  readonly #status = el('p', { class: 'card-status' });
  readonly #bar = el('div', { class: 'card-bar' });
  readonly #track: HTMLElement;
  readonly #actions = el('div', { class: 'card-actions' });
  #asking = false;
  #drawnActions = '';

  constructor(upload: Upload, onAction: OnAction) {
    this.#upload = upload;
    this.#onAction = onAction;
    const { name } = upload;
    this.#track = el('div', { class: 'card-track', role: 'progressbar', 'aria-label': name }, this.#bar);
    this.element.append(
      el('p', { class: 'card-name name', title: name, dir: 'auto' }, ...nameParts(name)),
      this.#status,
      this.#actions,
      this.#track,
    );
    this.#actions.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.#asking) this.#ask(false, 'cancel');
    });
    this.draw(upload);
  }

  /** Touches what has changed only: buttons keep the focus. */
  draw({ facts }: Upload): void {
    const view = viewOf(facts);
    this.element.dataset.tone = view.tone;
    if (this.#status.textContent !== view.status) this.#status.textContent = view.status;
    this.#drawBar(view.percent);
    if (!view.actions.includes('cancel')) this.#asking = false;
    this.#drawActions(view);
  }

  focus(): void {
    this.#actions.querySelector('button')?.focus();
  }

  #drawBar(percent: number | null): void {
    this.#track.hidden = percent === null;
    if (percent === null) return;
    this.#track.setAttribute('aria-valuenow', String(percent));
    this.#bar.style.width = `${percent}%`;
  }

  #drawActions({ actions }: Pick<CardView, 'actions'>): void {
    const state = `${this.#asking}${actions}`;
    if (state === this.#drawnActions) return;
    this.#drawnActions = state;
    const focused = this.#actions.contains(document.activeElement);
    this.#actions.dataset.asking = String(this.#asking);
    this.#actions.replaceChildren(...(this.#asking ? this.#question() : actions.map((action) => this.#button(action))));
    if (focused) this.focus();
    this.#actions.dataset.actions = actions.join(' ');
  }

  #button(action: CardAction): HTMLElement {
    const { label, look, path } = BUTTONS[action];
    const button = el(
      'button',
      {
        type: 'button',
        class: `button button-small${look}`,
        'aria-label': `${label} ${this.#upload.name}`,
        'data-action': action,
      },
      path === null ? null : icon(path),
      label,
    );
    button.addEventListener('click', () => {
      if (action === 'cancel') this.#ask(true, 'keep');
      else this.#onAction(action, this.#upload.fileId);
    });
    return button;
  }

  #question(): HTMLElement[] {
    const { name, fileId } = this.#upload;
    const small = 'button button-small';
    const keep = el(
      'button',
      { type: 'button', class: small, 'aria-label': `Keep it: ${name}`, 'data-action': 'keep' },
      'Keep it',
    );
    const end = el(
      'button',
      {
        type: 'button',
        class: `${small} button-danger`,
        'aria-label': `Cancel upload of ${name}`,
        'data-action': 'end',
      },
      'Cancel upload',
    );
    keep.addEventListener('click', () => this.#ask(false, 'cancel'));
    end.addEventListener('click', () => this.#onAction('cancel', fileId));
    return [el('span', { class: 'card-question', role: 'alert' }, 'What has arrived is thrown away.'), keep, end];
  }

  /** @param focusOn the button that gets the focus, by its `data-action` */
  #ask(asking: boolean, focusOn: string): void {
    this.#asking = asking;
    this.#drawActions({ actions: (this.#actions.dataset.actions?.split(' ') ?? []) as CardAction[] });
    this.#actions.querySelector<HTMLElement>(`[data-action="${focusOn}"]`)?.focus();
  }
}
