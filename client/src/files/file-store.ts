import { type FilePage, type FileTotal, type FileView, MAX_PAGE, type StoredFile } from '../api.ts';

export const PAGE_SIZE = 30;
/** A search may look through many files without finding one: after so many requests it is the person's turn. */
const SEARCH_REQUESTS = 5;
/** Of what the events say about a list that is searched, or in another order, only the server knows the place. */
const REREAD_MS = 400;

export type ListStatus = 'loading' | 'ready' | 'failed';

type ReadPage = (limit: number, cursor: string | null, view: FileView) => Promise<FilePage>;

const NEWEST: FileView = { sort: 'newest', query: '' };

/**
 * The files that the page shows: pages read from the server, kept up to date by live events.
 *
 * An event that arrives while a page is being read may be newer than the page: it is applied again over the answer.
 */
export class FileStore {
  readonly #readPage: ReadPage;
  readonly #onChange: () => void;
  #view = NEWEST;
  #files = new Map<string, StoredFile>();
  #next: string | null = null;
  #total: FileTotal | null = null;
  #status: ListStatus = 'loading';
  #isStale = false;
  #readingMore = false;
  #moreFailed = false;
  /** The refresh under way, and whether another was asked for meanwhile. */
  #refreshing: Promise<void> | null = null;
  #refreshAgain = false;
  #rereadTimer: ReturnType<typeof setTimeout> | undefined;
  /** What events said while something was being read: the file, or null for a deleted one. */
  readonly #news = new Map<string, StoredFile | null>();
  /** A file is told of as deleted by our own request, and by its event. */
  readonly #deleted = new Set<string>();
  #readers = 0;

  constructor(readPage: ReadPage, onChange: () => void) {
    this.#readPage = readPage;
    this.#onChange = onChange;
  }

  /** In the order of the view. */
  get files(): StoredFile[] {
    const files = [...this.#files.values()];
    return this.#isNewestFirst ? files.sort(newestFirst) : files;
  }

  get view(): FileView {
    return this.#view;
  }

  /** How many files the view has; null while nobody knows. */
  get total(): FileTotal | null {
    if (this.#status !== 'failed' && this.#next === null && this.#total !== null && !this.#total.atLeast) {
      return { count: this.#files.size, atLeast: false };
    }
    return this.#total;
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

  find(fileId: string): StoredFile | undefined {
    return this.#files.get(fileId);
  }

  /** What is shown is of an earlier view: the first page of the new one is on its way. */
  get isStale(): boolean {
    return this.#isStale;
  }

  /** Another order, or another search: its first page is read, and then takes the place of what is shown. */
  setView(view: FileView): Promise<void> {
    this.#view = view;
    this.#isStale = true;
    this.#next = null;
    this.#total = null;
    this.#status = 'loading';
    this.#onChange();
    return this.refresh();
  }

  put(file: StoredFile): void {
    if (this.#readers > 0) this.#news.set(file.id, file);
    const isShown = this.#files.has(file.id);
    if (!isShown && !this.#isNewestFirst) {
      this.#rereadSoon();
      return;
    }
    // Older than all that is shown: it has its place on a page that is not read yet.
    if (this.#next !== null && !isShown && this.#isBeyondTheEnd(file)) return;
    this.#files.set(file.id, file);
    if (!isShown) this.#count(1);
    this.#onChange();
  }

  remove(fileId: string): void {
    if (this.#readers > 0) this.#news.set(fileId, null);
    if (this.#deleted.has(fileId)) return;
    this.#deleted.add(fileId);
    if (this.#files.delete(fileId) || this.#isNewestFirst) this.#count(-1);
    this.#onChange();
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
    this.#readingMore = true;
    this.#moreFailed = false;
    this.#onChange();
    try {
      for (let request = 0, found = 0; found === 0 && this.#next !== null && request < SEARCH_REQUESTS; request += 1) {
        const cursor: string = this.#next;
        const isTaken = await this.#reading(
          (view) => this.#readPage(PAGE_SIZE, cursor, view),
          (page) => {
            if (this.#next !== cursor) return; // all was read anew meanwhile
            for (const file of page.files) this.#files.set(file.id, file);
            this.#next = page.next;
            found = page.files.length;
          },
        );
        if (!isTaken) break;
      }
    } catch {
      this.#moreFailed = true;
    } finally {
      this.#readingMore = false;
      this.#onChange();
    }
  }

  get #isNewestFirst(): boolean {
    return this.#view.sort === 'newest' && this.#view.query === '';
  }

  async #refresh(): Promise<void> {
    do {
      this.#refreshAgain = false;
      if (this.#status === 'failed') {
        this.#status = 'loading';
        this.#onChange();
      }
      try {
        if (await this.#readAll(this.#isStale ? PAGE_SIZE : Math.max(PAGE_SIZE, this.#files.size)))
          this.#status = 'ready';
      } catch {
        this.#status = 'failed';
        if (this.#isStale) this.#files.clear();
      }
      this.#onChange();
    } while (this.#refreshAgain);
  }

  /** @returns false when another view was asked for meanwhile: what was read is of no use */
  #readAll(wanted: number): Promise<boolean> {
    const files = new Map<string, StoredFile>();
    let [next, total]: [string | null, FileTotal | null] = [null, null];
    const read = async (view: FileView) => {
      let requests = 0;
      do {
        const page: FilePage = await this.#readPage(Math.min(MAX_PAGE, wanted - files.size), next, view);
        for (const file of page.files) files.set(file.id, file);
        next = page.next;
        total ??= page.total;
        requests += 1;
      } while (next !== null && files.size < wanted && (view.query === '' || requests < SEARCH_REQUESTS));
    };
    return this.#reading(read, () => {
      this.#files = files;
      this.#next = next;
      this.#total = total;
      this.#isStale = false;
      this.#moreFailed = false;
    });
  }

  /**
   * @param take what to do with the answer, before the news are applied to it; not called when another view was asked for
   *   meanwhile
   * @returns whether the answer was taken
   */
  async #reading<T>(read: (view: FileView) => Promise<T>, take: (answer: T) => void): Promise<boolean> {
    const view = this.#view;
    this.#readers += 1;
    try {
      const answer = await read(view);
      if (view !== this.#view) return false;
      take(answer);
      this.#applyNews();
      return true;
    } finally {
      this.#readers -= 1;
      if (this.#readers === 0) this.#news.clear();
    }
  }

  #applyNews(): void {
    for (const [fileId, file] of this.#news) {
      const isShown = this.#files.has(fileId);
      if (file === null && isShown) {
        this.#files.delete(fileId);
        this.#count(-1);
      } else if (file !== null && (isShown || this.#isNewestFirst)) {
        this.#files.set(fileId, file);
        if (!isShown) this.#count(1);
      }
    }
  }

  #count(by: 1 | -1): void {
    if (this.#total === null || this.#total.atLeast) return;
    this.#total = { count: Math.max(0, this.#total.count + by), atLeast: false };
  }

  #rereadSoon(): void {
    clearTimeout(this.#rereadTimer);
    this.#rereadTimer = setTimeout(() => void this.refresh(), REREAD_MS);
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
