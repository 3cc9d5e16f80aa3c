import type { Announce } from './announcer.ts';
import { deleteFile, type StoredFile } from './api.ts';
import { confirmDelete } from './delete-dialog.ts';
import { el } from './dom.ts';
import { FileRow } from './file-row.ts';
import type { FileStore } from './file-store.ts';
import { nameOf } from './format.ts';

const AGE_TICK_MS = 20_000;

/** Draws the stored files: the rows, and what stands there when there are none, or when they cannot be read. */
export class FileList {
  readonly #store: FileStore;
  readonly #heading: HTMLElement;
  readonly #announce: Announce;
  readonly #rows = new Map<string, FileRow>();
  readonly #list = el('ul', { class: 'file-rows', role: 'list', hidden: true });
  readonly #notice = el('div', { class: 'notice', hidden: true });
  readonly #footer = el('div', { class: 'files-footer' });
  #drawnNotice = '';
  #drawnFooter = '';

  /** @param heading takes the focus when the last row has gone */
  constructor(root: HTMLElement, heading: HTMLElement, store: FileStore, announce: Announce) {
    this.#store = store;
    this.#heading = heading;
    this.#announce = announce;
    root.append(this.#notice, this.#list, this.#footer);
    setInterval(() => this.#tick(), AGE_TICK_MS);
  }

  draw(): void {
    const files = this.#store.files;
    this.#drawRows(files);
    this.#drawNotice(files.length);
    this.#drawFooter();
  }

  #drawRows(files: readonly StoredFile[]): void {
    const kept = new Set(files.map((file) => file.id));
    for (const [fileId, row] of this.#rows) if (!kept.has(fileId)) this.#removeRow(fileId, row);
    const isFirstDrawing = this.#rows.size === 0;
    let place = this.#list.firstElementChild;
    for (const file of files) {
      let row = this.#rows.get(file.id);
      if (row === undefined) {
        row = new FileRow(file, (asked) => void this.#delete(asked));
        row.element.classList.toggle('is-new', !isFirstDrawing && place !== null);
        this.#rows.set(file.id, row);
      } else {
        row.update(file);
      }
      if (row.element === place) place = place.nextElementSibling;
      else this.#list.insertBefore(row.element, place);
    }
    this.#list.hidden = files.length === 0;
  }

  /** The focus goes to the next row, else to the one before, else to the heading; never back to the top of the page. */
  #removeRow(fileId: string, row: FileRow): void {
    const hadFocus = row.element.contains(document.activeElement);
    const neighbour = row.element.nextElementSibling ?? row.element.previousElementSibling;
    row.element.remove();
    this.#rows.delete(fileId);
    if (!hadFocus) return;
    (neighbour?.querySelector<HTMLElement>('.file-delete') ?? this.#heading).focus();
  }

  #drawNotice(count: number): void {
    const { status } = this.#store;
    const kind = status === 'failed' ? 'failed' : count > 0 ? 'none' : status === 'loading' ? 'loading' : 'empty';
    if (kind === this.#drawnNotice) return;
    this.#drawnNotice = kind;
    this.#notice.hidden = kind === 'none';
    this.#notice.dataset.kind = kind;
    this.#notice.replaceChildren(...this.#noticeContent(kind));
  }

  #noticeContent(kind: string): Node[] {
    switch (kind) {
      case 'failed': {
        const retry = el('button', { type: 'button', class: 'button' }, 'Try again');
        retry.addEventListener('click', () => {
          this.#heading.focus();
          void this.#store.refresh();
        });
        return [el('p', { role: 'alert' }, 'The list of files could not be read.'), retry];
      }
      case 'loading':
        return [el('p', {}, 'Reading the list of files …')];
      case 'empty':
        return [
          el('p', { class: 'notice-title' }, 'Nothing here yet'),
          el(
            'p',
            {},
            'What you upload appears here as soon as it is stored, also for everyone else who has this page open.',
          ),
        ];
      default:
        return [];
    }
  }

  #drawFooter(): void {
    const { hasMore, readingMore, moreFailed } = this.#store;
    const state = JSON.stringify([hasMore, readingMore, moreFailed]);
    if (state === this.#drawnFooter) return;
    this.#drawnFooter = state;
    const hadFocus = this.#footer.contains(document.activeElement);
    if (!hasMore) {
      this.#footer.replaceChildren();
      if (hadFocus) this.#heading.focus();
      return;
    }
    // Stays enabled while it works: a disabled button would lose the focus.
    const more = el(
      'button',
      { type: 'button', class: 'button', 'aria-disabled': readingMore ? 'true' : null },
      readingMore ? 'Reading …' : 'Show more',
    );
    more.addEventListener('click', () => void this.#store.showMore());
    const failure = moreFailed ? [el('p', { role: 'alert' }, 'More files could not be read.')] : [];
    this.#footer.replaceChildren(...failure, more);
    if (hadFocus) more.focus();
  }

  async #delete(file: StoredFile): Promise<void> {
    if (!(await confirmDelete(nameOf(file)))) return;
    const row = this.#rows.get(file.id);
    row?.showFailure(null);
    row?.setBusy(true);
    try {
      await deleteFile(file.id);
      this.#announce(`${nameOf(file)} deleted`);
      this.#store.remove(file.id);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      row?.setBusy(false);
      row?.showFailure(`Could not be deleted: ${reason}.`);
      this.#announce(`${nameOf(file)} could not be deleted`);
    }
  }

  #tick(): void {
    const now = new Date();
    for (const row of this.#rows.values()) row.updateAge(now);
  }
}
