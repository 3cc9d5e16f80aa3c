/**
 * Scripted faults: what real S3 does on a bad day, on demand. Rules are looked through in the order in which they were
 * added; the first that fits a request and is not used up decides about it, and the others do not count it.
 */
import type { OperationName } from './operation.ts';
import { seededRandom } from './seeded-random.ts';

export type FaultAction =
  /** Nothing is done, or with `afterwards` it is done all the same; the answer is an error. */
  | { kind: 'error'; status: number; code: string; afterwards?: boolean }
  /** The request waits, then goes on as usual. `done`: it has been done already and only its answer waits. */
  | { kind: 'delay'; ms: number; when: FaultMoment }
  /** No answer, with the connection open: until the client goes, the rules are cleared, or the server stops. */
  | { kind: 'hang'; when: FaultMoment }
  /** The connection breaks after so many bytes of the request's body. */
  | { kind: 'cut-request'; afterBytes: number }
  /** The connection breaks after so many bytes of the answer's body. */
  | { kind: 'cut-answer'; afterBytes: number }
  /** It is done, and the connection breaks without an answer. */
  | { kind: 'drop-reply' };

/** start: before the body is read. received: all of it is here, nothing is done. done: nothing is answered. */
export type FaultMoment = 'start' | 'received' | 'done';

export interface FaultRule {
  /** '*': every one but preflights. */
  operation: OperationName | '*';
  /** Only requests whose key has this in it. */
  keyPart?: string;
  /** Of the requests that fit, how many pass first. */
  skip?: number;
  /** How many it hits; left out: all from then on. */
  times?: number;
  /** Of those, how many: 0 … 1; left out: all. */
  probability?: number;
  /** Of the random numbers behind `probability`; left out: 1. */
  seed?: number;
  action: FaultAction;
}

/** busy: everything is answered with 503 SlowDown. cut: every connection breaks, also those with a request on the way. */
export type OutageKind = 'busy' | 'cut';

export type RequestCounts = Partial<Record<OperationName, number>>;

export class Faults {
  #rules: { rule: FaultRule; random: () => number; seen: number; hit: number }[] = [];
  #counts: RequestCounts = {};
  #outage: { kind: OutageKind; untilMs: number } | null = null;
  readonly #releases = new Set<() => void>();
  readonly #nowMs: () => number;
  readonly #cutAll: () => void;

  /**
   * @param nowMs for the end of an outage
   * @param cutAll breaks every connection that is open
   */
  constructor(nowMs: () => number, cutAll: () => void) {
    this.#nowMs = nowMs;
    this.#cutAll = cutAll;
  }

  add(rule: FaultRule): void {
    this.#rules.push({ rule, random: seededRandom(rule.seed ?? 1), seen: 0, hit: 0 });
  }

  /** Removes all rules, ends an outage, and lets hanging requests go on. */
  clear(): void {
    this.#rules = [];
    this.#outage = null;
    this.release();
  }

  /** Lets hanging requests go on. */
  release(): void {
    for (const release of this.#releases) release();
    this.#releases.clear();
  }

  /** @param forMs Infinity: until {@link clear} or {@link endOutage} */
  startOutage(kind: OutageKind, forMs = Number.POSITIVE_INFINITY): void {
    this.#outage = { kind, untilMs: this.#nowMs() + forMs };
    if (kind === 'cut') this.#cutAll();
  }

  endOutage(): void {
    this.#outage = null;
  }

  outage(): OutageKind | null {
    return this.#outage !== null && this.#nowMs() < this.#outage.untilMs ? this.#outage.kind : null;
  }

  /** Requests since the start or {@link resetCounts}, by operation, whatever became of them. */
  counts(): RequestCounts {
    return { ...this.#counts };
  }

  resetCounts(): void {
    this.#counts = {};
  }

  /** Counts a request. @returns what is to happen to it; null: nothing */
  take(operation: OperationName, key: string): FaultAction | null {
    this.#counts[operation] = (this.#counts[operation] ?? 0) + 1;
    for (const entry of this.#rules) {
      const { rule } = entry;
      const fits = rule.operation === operation || (rule.operation === '*' && operation !== 'Preflight');
      if (!fits || (rule.keyPart !== undefined && !key.includes(rule.keyPart))) continue;
      if (entry.hit >= (rule.times ?? Number.POSITIVE_INFINITY)) continue;
      if (entry.seen++ < (rule.skip ?? 0)) continue;
      if (rule.probability !== undefined && entry.random() >= rule.probability) continue;
      entry.hit++;
      return rule.action;
    }
    return null;
  }

  /** Resolves when hanging requests are let go. */
  released(): { promise: Promise<void>; cancel: () => void } {
    let release = () => {};
    const promise = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#releases.add(release);
    return { promise, cancel: () => this.#releases.delete(release) };
  }
}
