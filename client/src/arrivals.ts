/** Uploads of other browsers that are under way: a line beside the list's heading. */

/** An upload that has been silent for so long has probably been given up. */
const SILENCE_MS = 15_000;

interface Arrival {
  offset: number;
  length: number | null;
  timer: number;
}

export class Arrivals {
  readonly #line: HTMLElement;
  readonly #arrivals = new Map<string, Arrival>();

  constructor(line: HTMLElement) {
    this.#line = line;
  }

  progress(uploadId: string, offset: number, length: number | null): void {
    clearTimeout(this.#arrivals.get(uploadId)?.timer);
    const timer = window.setTimeout(() => this.ended(uploadId), SILENCE_MS);
    this.#arrivals.set(uploadId, { offset, length, timer });
    this.#show();
  }

  ended(uploadId: string): void {
    clearTimeout(this.#arrivals.get(uploadId)?.timer);
    if (this.#arrivals.delete(uploadId)) this.#show();
  }

  /** Nobody knows what has become of them. */
  clear(): void {
    for (const uploadId of [...this.#arrivals.keys()]) this.ended(uploadId);
  }

  #show(): void {
    this.#line.hidden = this.#arrivals.size === 0;
    if (this.#line.hidden) return;
    this.#line.textContent = arrivalText([...this.#arrivals.values()]);
  }
}

/** `1 file is arriving from elsewhere · 42 %`; without a per cent while a length is unknown. */
export function arrivalText(arrivals: readonly { offset: number; length: number | null }[]): string {
  const words = arrivals.length === 1 ? '1 file is arriving' : `${arrivals.length} files are arriving`;
  let [done, total] = [0, 0];
  for (const { offset, length } of arrivals) {
    if (length === null) return `${words} from elsewhere`;
    done += offset;
    total += length;
  }
  return `${words} from elsewhere · ${total === 0 ? 100 : Math.floor((done / total) * 100)} %`;
}
