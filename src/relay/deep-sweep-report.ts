/** What a deep sweep has found, and what became of it or would. */

/**
 * file: a finished file of ours without a record; it gets one when the operator says so (`adopt`), and is kept else.
 * removed: a leftover. young: one that is too young to be removed. missing: an object that a file's record names and the
 * bucket does not have, or not with as many bytes.
 */
export type FoundAs = 'file' | 'removed' | 'young' | 'missing';

export interface FoundItem {
  foundAs: FoundAs;
  key: string;
  kind: 'object' | 'multipart';
  /** null: not said (a multipart upload has no size yet). */
  bytes: number | null;
  /** ISO 8601; null: not said. */
  storedAt: string | null;
}

/** Called for each, in the order in which they are found; it is waited for. */
export type OnFound = (item: FoundItem) => void | Promise<void>;

export interface DeepSweepReport {
  objectsListed: number;
  /** Neither in the catalog nor a part of what is. */
  objectsUnknown: number;
  /** null: the service cannot list them. */
  multipartsListed: number | null;
  multipartsUnknown: number;
  /** Finished files without a record. */
  files: number;
  /** How many of them have a record now. */
  adopted: number;
  /** Leftovers that are to be removed. */
  leftovers: number;
  /** How many of these are gone from the bucket; more may be under way. */
  removed: number;
  /** Leftovers that are too young for that. */
  young: number;
  /** Records whose object is not there; null: that was not asked for. */
  missing: number | null;
  /** The first of each kind. */
  named: FoundItem[];
  /** Why nothing was changed; null when that was allowed. */
  refusal: string | null;
}

/** Of each kind; the report counts the others. */
const MAX_NAMED = 100;

export class DeepSweepTally {
  readonly report: DeepSweepReport;
  readonly #onFound: OnFound;

  constructor(onFound: OnFound = () => {}) {
    this.#onFound = onFound;
    this.report = {
      ...{ objectsListed: 0, objectsUnknown: 0, multipartsListed: 0, multipartsUnknown: 0 },
      ...{ files: 0, adopted: 0, leftovers: 0, removed: 0, young: 0, missing: null, named: [], refusal: null },
    };
  }

  async found(item: FoundItem): Promise<void> {
    const { report } = this;
    if (item.foundAs === 'file') report.files += 1;
    else if (item.foundAs === 'removed') report.leftovers += 1;
    else if (item.foundAs === 'young') report.young += 1;
    else report.missing = (report.missing ?? 0) + 1;
    if (report.named.filter((it) => it.foundAs === item.foundAs).length < MAX_NAMED) report.named.push(item);
    await this.#onFound(item);
  }
}
