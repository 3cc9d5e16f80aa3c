/**
 * Which files have arrived and which are paused, by Uppy's id, each with its bytes that had left by then. Written at
 * once: Golden Retriever writes twice a second, and a page may be reloaded in between.
 */
const KEYS = { arrived: 'uploads-arrived', paused: 'uploads-paused' } as const;
/** Only the last moments before a reload matter. */
const NOTED_FILES = 100;

export class SessionNote {
  readonly #key: string;
  readonly #files: Map<string, number>;

  constructor(kind: keyof typeof KEYS) {
    this.#key = KEYS[kind];
    this.#files = new Map<string, number>(JSON.parse(sessionStorage.getItem(this.#key) ?? '[]'));
  }

  has(fileId: string): boolean {
    return this.#files.has(fileId);
  }

  /** @returns 0 for what is not noted */
  bytesOf(fileId: string): number {
    return this.#files.get(fileId) ?? 0;
  }

  add(fileId: string, bytes: number): void {
    this.#files.set(fileId, bytes);
    this.#write();
  }

  delete(fileId: string): void {
    if (this.#files.delete(fileId)) this.#write();
  }

  #write(): void {
    sessionStorage.setItem(this.#key, JSON.stringify([...this.#files].slice(-NOTED_FILES)));
  }
}
