import { el } from '../dom.ts';
import { BatchBar } from './batch-bar.ts';
import type { CardAction } from './card-view.ts';
import { UploadCard } from './upload-card.ts';
import type { Uploads } from './uploads.ts';

/** Often enough for a bar that moves, seldom enough for an old phone. */
const DRAW_MS = 250;

/** The uploads that are not done, a card each, and a bar about all of them when there are several. */
export class UploadCards {
  readonly element: HTMLElement;
  readonly #uploads: Uploads;
  readonly #onEmptied: () => void;
  readonly #batch: BatchBar;
  readonly #list = el('ul', { class: 'cards', role: 'list' });
  readonly #cards = new Map<string, UploadCard>();
  readonly #chooser = el('input', { type: 'file', hidden: true, 'aria-hidden': 'true', tabindex: -1 });
  #drawing: number | undefined;
  #choosingFor: string | null = null;

  /** @param onEmptied the card that had the focus was the last one */
  constructor(uploads: Uploads, onEmptied: () => void) {
    this.#uploads = uploads;
    this.#onEmptied = onEmptied;
    this.#batch = new BatchBar(uploads, () => this.drawSoon());
    this.element = el(
      'div',
      { class: 'uploads', role: 'group', 'aria-label': 'Uploads under way', hidden: true },
      this.#batch.element,
      this.#list,
      this.#chooser,
    );
    this.#chooser.addEventListener('change', () => this.#takeChosen());
    // Time passes also where no byte does: a silence becomes "waiting".
    setInterval(() => this.#cards.size > 0 && this.drawSoon(), 1_000);
  }

  drawSoon(): void {
    this.#drawing ??= window.setTimeout(() => {
      this.#drawing = undefined;
      this.#draw();
    }, DRAW_MS);
  }

  #draw(): void {
    const uploads = this.#uploads.all;
    const kept = new Set(uploads.map((it) => it.fileId));
    const lostFocus = [...this.#cards].some(([fileId, card]) => !kept.has(fileId) && this.#remove(fileId, card));
    let place = this.#list.firstElementChild;
    for (const upload of uploads) {
      let card = this.#cards.get(upload.fileId);
      if (card === undefined) {
        card = new UploadCard(upload, this.#act);
        this.#cards.set(upload.fileId, card);
      } else {
        card.draw(upload);
      }
      if (card.element === place) place = place.nextElementSibling;
      else this.#list.insertBefore(card.element, place);
    }
    this.element.hidden = uploads.length === 0;
    this.#batch.draw(this.#uploads.batchOf(uploads));
    if (!lostFocus) return;
    const next = this.#cards.values().next().value;
    if (next === undefined) this.#onEmptied();
    else next.focus();
  }

  /** @returns whether the focus was in it */
  #remove(fileId: string, card: UploadCard): boolean {
    const hadFocus = card.element.contains(document.activeElement);
    card.element.remove();
    this.#cards.delete(fileId);
    return hadFocus;
  }

  readonly #act = (action: CardAction, fileId: string): void => {
    switch (action) {
      case 'pause':
        this.#uploads.pause(fileId);
        break;
      case 'resume':
        this.#uploads.resume(fileId);
        break;
      case 'retry':
        this.#uploads.start(fileId);
        break;
      case 'choose':
        this.#choosingFor = fileId;
        this.#chooser.click();
        break;
      default:
        this.#uploads.cancel(fileId);
    }
    this.#draw();
  };

  #takeChosen(): void {
    const file = this.#chooser.files?.[0];
    if (file !== undefined && this.#choosingFor !== null) this.#uploads.chooseAgain(this.#choosingFor, file);
    this.#chooser.value = '';
    this.#draw();
  }
}
