import type { Announce } from '../announcer.ts';
import type { StoredFile } from '../api.ts';
import { askInDialog } from '../dialog.ts';
import { el } from '../dom.ts';
import { deleteFiles } from './deleting.ts';
import { FileRow, type RowActions } from './file-row.ts';
import type { FileStore } from './file-store.ts';
import { ListFooter } from './list-footer.ts';
import { ListNotice } from './list-notice.ts';
import { ListTools } from './list-tools.ts';
import { PreviewDialog } from './preview-dialog.ts';
import { Selection } from './selection.ts';
import { SelectionBar } from './selection-bar.ts';
import { keepInPlace } from './steady-rows.ts';
import { copyText, downloadFiles, linksOf } from './take-along.ts';

const AGE_TICK_MS = 20_000;

/** Draws the stored files: the rows, and all that stands around them. */
export class FileList {
  readonly #store: FileStore;
  readonly #heading: HTMLElement;
  readonly #announce: Announce;
  readonly #rows = new Map<string, FileRow>();
  readonly #list = el('ul', { class: 'file-rows', role: 'list', hidden: true });
  readonly #tools: ListTools;
  readonly #bar: SelectionBar;
  readonly #notice: ListNotice;
  readonly #footer: ListFooter;
  readonly #selection = new Selection(
    () => this.#store.files.map((file) => file.id),
    () => this.#drawSelection(),
  );
  readonly #preview = new PreviewDialog(() => this.#store.files);
  readonly #rowActions: RowActions = {
    preview: (file) => this.#preview.show(file),
    delete: (file) => void this.#delete([file]),
    select: (fileId, selected, isRange) => this.#selection.set(fileId, selected, isRange),
  };

  /**
   * @param heading takes the focus when the last row has gone
   * @param count beside the heading
   */
  constructor(root: HTMLElement, heading: HTMLElement, count: HTMLElement, store: FileStore, announce: Announce) {
    this.#store = store;
    this.#heading = heading;
    this.#announce = announce;
    this.#tools = new ListTools(store, count);
    this.#notice = new ListNotice(store, () => {
      heading.focus();
      void store.refresh();
    });
    this.#footer = new ListFooter(store, heading);
    this.#bar = new SelectionBar(this.#selection, {
      download: () => void downloadFiles(this.#selected()),
      copyLinks: () => void this.#copyLinks(),
      delete: () => void this.#delete(this.#selected()),
    });
    const box = el('div', { class: 'file-box' }, this.#bar.element, this.#list);
    root.append(this.#tools.element, this.#notice.element, box, this.#footer.element);
    setInterval(() => this.#tick(), AGE_TICK_MS);
  }

  draw(): void {
    const files = this.#store.files;
    keepInPlace(this.#list, () => this.#drawRows(files));
    this.#selection.prune();
    this.#tools.draw(files.length);
    this.#notice.draw(files.length);
    this.#footer.draw();
    this.#drawSelection();
  }

  #drawRows(files: readonly StoredFile[]): void {
    const kept = new Set(files.map((file) => file.id));
    for (const [fileId, row] of this.#rows) if (!kept.has(fileId)) this.#removeRow(fileId, row);
    const isFirstDrawing = this.#rows.size === 0;
    let place = this.#list.firstElementChild;
    for (const file of files) {
      let row = this.#rows.get(file.id);
      if (row === undefined) {
        row = new FileRow(file, this.#rowActions);
        row.element.classList.toggle('is-new', !isFirstDrawing && place !== null);
        this.#rows.set(file.id, row);
      } else {
        row.update(file);
      }
      if (row.element === place) place = place.nextElementSibling;
      else this.#list.insertBefore(row.element, place);
    }
    this.#list.hidden = files.length === 0;
    this.#list.setAttribute('aria-busy', String(this.#store.isStale));
  }

  #drawSelection(): void {
    for (const [fileId, row] of this.#rows) row.showSelected(this.#selection.has(fileId));
    this.#bar.draw(this.#rows.size);
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

  #selected(): StoredFile[] {
    return this.#selection.fileIds.flatMap((fileId) => this.#store.find(fileId) ?? []);
  }

  async #copyLinks(): Promise<void> {
    const links = linksOf(this.#selected());
    if (await copyText(links)) {
      this.#announce(`${this.#selection.size === 1 ? 'Link' : `${this.#selection.size} links`} copied`);
      return;
    }
    const text = el('textarea', { class: 'field link-text', readonly: true, rows: 6, 'aria-label': 'Links' }, links);
    text.addEventListener('focus', () => text.select());
    await askInDialog('Copy the links', [text], [{ answer: 'close', label: 'Close' }]);
  }

  #delete(files: readonly StoredFile[]): Promise<void> {
    return deleteFiles(files, {
      announce: this.#announce,
      rowOf: (fileId) => this.#rows.get(fileId),
      onDeleted: (fileId) => this.#store.remove(fileId),
    });
  }

  #tick(): void {
    const now = new Date();
    for (const row of this.#rows.values()) row.updateAge(now);
  }
}
