import { type FilePage, MAX_PAGE, type StoredFile } from './api.ts';

export const PAGE_SIZE = 30;

export type ListStatus = 'loading' | 'ready' | 'failed';

type ReadPage = (limit: number, cursor: string | null) => Promise<FilePage>;

/**
 * The files that the page shows, newest first: pages read from the server, kept up to date by live events.
 *
 * An event that arrives while a page is being read may be newer than the page: it is applied again over the answer.
 */
export class FileStore {
  readonly #readPage: ReadPage;
  readonly #onChange: () => void;
  #files = new Map<string, StoredFile>();
  #next: string | null = null;
  #status: ListStatus = 'loading';
  #readingMore = false;
  #moreFailed = false;
  /** The refresh under way, and whether another was asked for meanwhile. */
  #refreshing: Promise<void> | null = null;
  #refreshAgain = false;
  /** What events said while something was being read: the file, or null for a deleted one. */
  readonly #news = new Map<string, StoredFile | null>();
  #readers = 0;

  constructor(readPage: ReadPage, onChange: () => void) {
    this.#readPage = readPage;
    this.#onChange = onChange;
  }

  get files(): StoredFile[] {
    return [...this.#files.values()].sort(newestFirst);
  }

  /** 'failed' is about the list as a whole: what was read before stays. */
  get status(): ListStatus {
    return this.#status;
  }

  get hasMore(): boolean {
    return this.#next !== null;
  }

  get readingMore(): boolean {
    return this.#readingMore;
  }

  /** The last try to read another page failed. */
  get moreFailed(): boolean {
    return this.#moreFailed;
  }

  has(fileId: string): boolean {
    return this.#files.has(fileId);
  }

  put(file: StoredFile): void {
    if (this.#readers > 0) this.#news.set(file.id, file);
    // Older than all that is shown: it has its place on a page that is not read yet.
    if (this.#next !== null && !this.#files.has(file.id) && this.#isBeyondTheEnd(file)) return;
    this.#files.set(file.id, file);
    this.#onChange();
  }

  remove(fileId: string): void {
    if (this.#readers > 0) this.#news.set(fileId, null);
    if (this.#files.delete(fileId)) this.#onChange();
  }

  /** Reads again as many files as are shown. Never rejects: {@link status} tells. */
  refresh(): Promise<void> {
    if (this.#refreshing !== null) {
      this.#refreshAgain = true;
      return this.#refreshing;
    }
    this.#refreshing = this.#refresh().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  /** Reads one page more. Never rejects: {@link moreFailed} tells. */
  async showMore(): Promise<void> {
    if (this.#next === null || this.#readingMore) return;
    const cursor = this.#next;
    this.#readingMore = true;
    this.#moreFailed = false;
    this.#onChange();
    try {
      const page = await this.#reading(() => this.#readPage(PAGE_SIZE, cursor));
      if (this.#next === cursor) {
        for (const file of page.files) this.#files.set(file.id, file);
        this.#next = page.next;
        this.#applyNews();
      }
    } catch {
      this.#moreFailed = true;
    } finally {
      this.#readingMore = false;
      this.#onChange();
    }
  }

  async #refresh(): Promise<void> {
    do {
      this.#refreshAgain = false;
      if (this.#status === 'failed') {
        this.#status = 'loading';
        this.#onChange();
      }
      try {
        await this.#reading(() => this.#readAll(Math.max(PAGE_SIZE, this.#files.size)));
        this.#status = 'ready';
      } catch {
        this.#status = 'failed';
      }
      this.#onChange();
    } while (this.#refreshAgain);
  }

  async #readAll(wanted: number): Promise<void> {
    const files = new Map<string, StoredFile>();
    let cursor: string | null = null;
    do {
      const page: FilePage = await this.#readPage(Math.min(MAX_PAGE, wanted - files.size), cursor);
      for (const file of page.files) files.set(file.id, file);
      cursor = page.next;
    } while (cursor !== null && files.size < wanted);
    this.#files = files;
    this.#next = cursor;
    this.#moreFailed = false;
    this.#applyNews();
  }

  async #reading<T>(read: () => Promise<T>): Promise<T> {
    this.#readers += 1;
    try {
      return await read();
    } finally {
      this.#readers -= 1;
      if (this.#readers === 0) this.#news.clear();
    }
  }

  #applyNews(): void {
    for (const [fileId, file] of this.#news) {
      if (file === null) this.#files.delete(fileId);
      else this.#files.set(fileId, file);
    }
  }

  #isBeyondTheEnd(file: StoredFile): boolean {
    const last = this.files.at(-1);
    return last !== undefined && newestFirst(file, last) > 0;
  }
}

function newestFirst(a: StoredFile, b: StoredFile): number {
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? 1 : -1;
  return a.id < b.id ? 1 : -1;
}
