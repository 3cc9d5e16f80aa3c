/** Which files of the list are selected. With Shift, all from the one before to this one. */
export class Selection {
  readonly #order: () => readonly string[];
  readonly #onChange: () => void;
  readonly #fileIds = new Set<string>();
  #last: string | null = null;

  /** @param order ids of the files that are shown, from top to bottom */
  constructor(order: () => readonly string[], onChange: () => void) {
    this.#order = order;
    this.#onChange = onChange;
  }

  /** From top to bottom. */
  get fileIds(): string[] {
    return this.#order().filter((fileId) => this.#fileIds.has(fileId));
  }

  get size(): number {
    return this.#fileIds.size;
  }

  has(fileId: string): boolean {
    return this.#fileIds.has(fileId);
  }

  /** @param isRange the person held Shift: what lies between gets the same */
  set(fileId: string, selected: boolean, isRange: boolean): void {
    for (const it of isRange ? this.#between(fileId) : [fileId]) this.#mark(it, selected);
    this.#last = fileId;
    this.#onChange();
  }

  setAll(selected: boolean): void {
    for (const fileId of this.#order()) this.#mark(fileId, selected);
    this.#last = null;
    this.#onChange();
  }

  /** What is not shown any more is not selected either. */
  prune(): void {
    const shown = new Set(this.#order());
    const gone = [...this.#fileIds].filter((fileId) => !shown.has(fileId));
    for (const fileId of gone) this.#fileIds.delete(fileId);
    if (gone.length > 0) this.#onChange();
  }

  #mark(fileId: string, selected: boolean): void {
    if (selected) this.#fileIds.add(fileId);
    else this.#fileIds.delete(fileId);
  }

  #between(fileId: string): readonly string[] {
    const order = this.#order();
    const from = this.#last === null ? -1 : order.indexOf(this.#last);
    const to = order.indexOf(fileId);
    return from === -1 ? [fileId] : order.slice(Math.min(from, to), Math.max(from, to) + 1);
  }
}
