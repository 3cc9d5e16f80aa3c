/** Figures that cost a query, taken at a scrape, but not at every one, and never waited for without an end. */
export interface CatalogSample {
  uploadsByState: ReadonlyMap<string, number>;
  undeleted: number;
  jobs: readonly { queue: string; ready: number; deferred: number; active: number }[];
}

/** However many ask, and however often. */
const KEEP_MS = 15_000;
/** Prometheus gives a scrape ten seconds: the other metrics must not be lost with these. */
const WAIT_MS = 3_000;

export class CatalogSampler {
  readonly #query: () => Promise<CatalogSample>;
  readonly #now: () => number;
  #taken: { atMs: number; sample: Promise<CatalogSample | null> } | null = null;

  /** @param now monotonic, in milliseconds */
  constructor(query: () => Promise<CatalogSample>, now = () => performance.now()) {
    this.#query = query;
    this.#now = now;
  }

  /** @returns null when the catalog does not answer (in time) */
  async sample(): Promise<CatalogSample | null> {
    const nowMs = this.#now();
    if (this.#taken === null || nowMs - this.#taken.atMs >= KEEP_MS) {
      this.#taken = { atMs: nowMs, sample: this.#query().catch(() => null) };
    }
    return within(this.#taken.sample, WAIT_MS);
  }
}

async function within<T>(promise: Promise<T | null>, ms: number): Promise<T | null> {
  const late = Promise.withResolvers<null>();
  const timer = setTimeout(() => late.resolve(null), ms);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
