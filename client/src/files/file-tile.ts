import type { StoredFile } from '../api.ts';
import { el } from '../dom.ts';
import { labelOf } from '../format.ts';
import { isProcessing } from './thumbnail-state.ts';

/** Side of the picture's place, in CSS pixels; the 128 px thumbnail serves dense screens too. */
const TILE_PX = 64;

/** The picture of a file in the list: its thumbnail, or the letters of its type. */
export class FileTile {
  /** The picture could not be loaded: the network was away, as a rule. */
  #failed = false;

  get hasFailed(): boolean {
    return this.#failed;
  }

  tryAgain(): void {
    this.#failed = false;
  }

  draw(file: StoredFile): HTMLElement {
    if (file.thumbs === null || this.#failed) return typeTile(file);
    const image = el('img', {
      ...{ class: 'file-thumb', src: file.thumbs['128'], alt: '', width: TILE_PX, height: TILE_PX },
      ...{ decoding: 'async', loading: 'lazy' },
    });
    // A thumbnail that cannot be loaded is no reason for a broken picture.
    const giveUp = () => {
      this.#failed = true;
      image.replaceWith(typeTile(file));
    };
    image.addEventListener('error', giveUp, { once: true });
    return image;
  }
}

function typeTile(file: StoredFile): HTMLElement {
  const { short, family } = labelOf(file);
  const look = isProcessing(file, new Date()) ? 'file-tile is-processing' : 'file-tile';
  return el('span', { class: look, 'data-family': family, 'aria-hidden': 'true' }, short);
}
