/**
 * Removes from S3 what committed changes made unnecessary. It only ever acts on committed `discards` rows (V5), so it
 * may run on every node, at any time, and be killed anywhere.
 */
import type { Discard, DiscardCatalogPort } from '../catalog/discard-catalog.ts';
import { UnavailableError } from '../errors.ts';
import type { CallOptions, ObjectStorage } from '../s3/object-storage.ts';
import { S3Error } from '../s3/s3-errors.ts';
import { StorageElsewhereError, type StorageEvidence } from './storage-canary.ts';

const BATCH = 500;
/** Batches of one turn after a kick. */
const KICK_BATCHES = 20;
/** A part that was under way when the upload was aborted can bring it back: abort until S3 does not know it any more. */
const MAX_ABORTS = 5;
/** After so many calls in a row that S3 did not answer it is not asked about the rest of them in this turn. */
const MAX_UNANSWERED = 3;

type Remover = Pick<
  ObjectStorage,
  'deleteObjects' | 'abortMultipartUpload' | 'listParts' | 'listMultipartUploads' | 'listObjects'
>;

/** Plain objects are deleted all the time, after almost each part: they do with evidence of a minute ago. */
const EVIDENCE_LASTS_MS = 60_000;

/** Is it settled, too, when S3 says that there is nothing? */
function mayBelieve({ scope, s3UploadId }: Discard): boolean {
  return scope !== 'object' || s3UploadId !== null;
}

/** What one turn has done. */
export interface DiscardTurn {
  /** How many rows are settled: their objects are not there any more. */
  removed: number;
  /** One for all that could not be removed; null when there is nothing of the kind. */
  failure: LeftoversError | null;
  /** The turn ended at its bound; there may be more to do. */
  more: boolean;
}

/** What S3 did not let a turn remove. It is tried again later, see {@link DiscardCatalog.postpone}. */
export class LeftoversError extends Error {
  override readonly name = 'LeftoversError';
}

interface DiscardWork {
  find(): Promise<Discard[]>;
  settle(discardIds: readonly number[]): Promise<void>;
}

export class DiscardWorker {
  readonly #discards: DiscardCatalogPort;
  readonly #storage: Remover;
  readonly #evidence: Pick<StorageEvidence, 'demandOurs'>;
  readonly #onFailure: (error: unknown) => void;
  readonly #stop = new AbortController();
  #running: Promise<void> | null = null;
  #kickedAgain = false;

  /** @param onFailure called once for a turn after a kick in which something went wrong; the catalog keeps what is left */
  constructor(
    discards: DiscardCatalogPort,
    storage: Remover,
    evidence: Pick<StorageEvidence, 'demandOurs'>,
    onFailure: (error: unknown) => void,
  ) {
    this.#discards = discards;
    this.#storage = storage;
    this.#evidence = evidence;
    this.#onFailure = onFailure;
  }

  /** After a commit that wrote discards. Comes back at once. What has failed before and is not due yet keeps its time. */
  kick(): void {
    if (this.#stop.signal.aborted) return;
    if (this.#running !== null) {
      this.#kickedAgain = true;
      return;
    }
    this.#running = this.#run().finally(() => {
      this.#running = null;
      if (this.#kickedAgain) {
        this.#kickedAgain = false;
        this.kick();
      }
    });
  }

  /** Ends when nothing is under way any more. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  /** Ends what is under way at once, the call to S3 too: what was not done is found again. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.idle();
  }

  /** For the sweeper: what nobody has removed yet and is due, in a bounded number of batches. */
  async removeUndone(maxBatches: number, signal?: AbortSignal): Promise<DiscardTurn> {
    return this.#takeTurn(maxBatches, signal, {
      find: () => this.#discards.findUndone(BATCH),
      settle: (gone) => this.#discards.settleDeleted(gone),
    });
  }

  /** The same for the rows whose recheck is due: these are gone for good. */
  async recheck(maxBatches: number, signal?: AbortSignal): Promise<DiscardTurn> {
    return this.#takeTurn(maxBatches, signal, {
      find: () => this.#discards.findDueForRecheck(BATCH),
      settle: (gone) => this.#discards.drop(gone),
    });
  }

  /** An operator asks for the rest: what has failed is due at once. */
  async makeAllDue(): Promise<void> {
    await this.#discards.makeAllDue();
  }

  async #run(): Promise<void> {
    try {
      for (let more = true; more; ) {
        const turn = await this.removeUndone(KICK_BATCHES);
        if (turn.failure !== null) this.#onFailure(turn.failure);
        more = turn.more && turn.removed > 0;
      }
    } catch (error) {
      // That it is another storage has been told, and the sweeper comes back to what is left.
      if (!this.#stop.signal.aborted && !(error instanceof StorageElsewhereError)) this.#onFailure(error);
    }
  }

  /**
   * Every removal of whatever kind is part of a turn. A row that is settled or postponed is not found again, so the
   * next batch is always another.
   *
   * @throws UnavailableError when the catalog does not answer: what was removed until then is found again, and is gone
   */
  async #takeTurn(maxBatches: number, asked: AbortSignal | undefined, work: DiscardWork): Promise<DiscardTurn> {
    const signal = asked === undefined ? this.#stop.signal : AbortSignal.any([asked, this.#stop.signal]);
    const tally = new TurnTally();
    let removed = 0;
    for (let batch = 0; batch < maxBatches; batch += 1) {
      if (signal.aborted) return { removed, failure: tally.failure, more: true };
      const discards = await work.find();
      if (discards.length === 0) return { removed, failure: tally.failure, more: false };
      await this.#evidence.demandOurs(EVIDENCE_LASTS_MS, { signal });
      const { gone, left } = await this.#remove(discards, tally, signal);
      // Behind the answers: "there is no such upload" may have come from another storage since.
      if (gone.length > 0 && discards.some(mayBelieve)) await this.#evidence.demandOurs(0, { signal });
      await work.settle(gone);
      await this.#discards.postpone(left);
      removed += gone.length;
      if (discards.length < BATCH || tally.isHopeless) return { removed, failure: tally.failure, more: false };
    }
    return { removed, failure: tally.failure, more: true };
  }

  /**
   * Multipart uploads first: one that lives could still become the object. A row that S3 does not let us settle stays,
   * and does not keep the others.
   *
   * @returns the ids of what is gone, and of what S3 did not let us remove; the others were not tried
   */
  async #remove(discards: readonly Discard[], tally: TurnTally, signal: AbortSignal): Promise<Removal> {
    const removable = new Map<number, string[]>();
    const left: number[] = [];
    for (const discard of discards) {
      if (signal.aborted || tally.isHopeless) break;
      try {
        if (await this.#abortUploads(discard, { signal })) {
          removable.set(discard.discardId, await this.#keysOf(discard, { signal }));
          if (discard.scope !== 'object' || discard.s3UploadId !== null) tally.succeed();
          continue;
        }
        tally.fail(new Error(`${discard.objectKey} has a multipart upload that comes back after each abort`));
      } catch (error) {
        if (error instanceof UnavailableError) throw error;
        // What was cut short is no failure.
        if (signal.aborted) break;
        tally.fail(error);
      }
      left.push(discard.discardId);
    }
    const failedKeys = await this.#delete([...new Set([...removable.values()].flat())], tally, signal);
    const failed = new Set(failedKeys);
    const gone: number[] = [];
    for (const [discardId, keys] of removable) {
      if (!keys.some((key) => failed.has(key))) gone.push(discardId);
      else if (!signal.aborted) left.push(discardId);
    }
    return { gone, left };
  }

  /** @returns the keys that are not known to be deleted */
  async #delete(keys: readonly string[], tally: TurnTally, signal: AbortSignal): Promise<readonly string[]> {
    if (keys.length === 0) return [];
    try {
      const { failedKeys } = await this.#storage.deleteObjects(keys, { signal });
      if (failedKeys.length > 0 && !signal.aborted) {
        const refusal = new Error(`S3 did not delete ${failedKeys.length} of ${keys.length} objects, ${failedKeys[0]}`);
        tally.fail(refusal, failedKeys.length);
      } else tally.succeed();
      return failedKeys;
    } catch (error) {
      if (!signal.aborted) tally.fail(error, keys.length);
      return keys;
    }
  }

  /** @returns whether none of the discard's multipart uploads lives any more */
  async #abortUploads({ objectKey, scope, s3UploadId }: Discard, options: CallOptions): Promise<boolean> {
    const ids = new Set(s3UploadId === null ? [] : [s3UploadId]);
    if (scope === 'key' || scope === 'leftovers') {
      for (const listed of await this.#storage.listMultipartUploads(objectKey, options)) ids.add(listed.s3UploadId);
    }
    let gone = true;
    for (const id of ids) gone = (await this.#abort(objectKey, id, options)) && gone;
    return gone;
  }

  /** Some services (MinIO) answer an abort of anything with success: that it is gone is for ListParts to say. */
  async #abort(key: string, s3UploadId: string, options: CallOptions): Promise<boolean> {
    for (let tries = 0; tries < MAX_ABORTS; tries += 1) {
      if ((await this.#storage.abortMultipartUpload(key, s3UploadId, options)) === 'missing') return true;
      if ((await this.#storage.listParts(key, s3UploadId, options)) === null) return true;
    }
    return false;
  }

  /** Listed before the catalog is asked what it needs of them: a key that is not needed then never will be again. */
  async #keysOf({ uploadId, objectKey, scope }: Discard, options: CallOptions): Promise<string[]> {
    if (scope === 'object') return [objectKey];
    if (scope === 'multipart') return [];
    const listed: string[] = [];
    for (let more = true; more; ) {
      const page = await this.#storage.listObjects(`${objectKey}.`, listed.at(-1), options);
      listed.push(...page.objects.map((object) => object.key));
      more = page.more;
    }
    const needed = new Set(listed.length === 0 ? [] : await this.#discards.findNeededKeys(uploadId));
    const unneeded = listed.filter((key) => !needed.has(key));
    return scope === 'key' ? [objectKey, ...unneeded] : unneeded;
  }
}

interface Removal {
  gone: number[];
  left: number[];
}

/** What has gone wrong in one turn. */
class TurnTally {
  #left = 0;
  #first: unknown = null;
  #unanswered = 0;

  /** @param left how many discards, or their objects, it concerns */
  fail(error: unknown, left = 1): void {
    this.#first ??= error;
    this.#left += left;
    // A refusal is an answer: the next row may well be another matter.
    this.#unanswered = error instanceof S3Error && error.retryable ? this.#unanswered + 1 : 0;
  }

  succeed(): void {
    this.#unanswered = 0;
  }

  /** The service is away: asking on would only take time. */
  get isHopeless(): boolean {
    return this.#unanswered >= MAX_UNANSWERED;
  }

  get failure(): LeftoversError | null {
    if (this.#left === 0) return null;
    const reason = this.#first instanceof Error ? this.#first.message : String(this.#first);
    const rest = this.isHopeless ? '; S3 does not answer, and was not asked about the rest' : '';
    const message = `${this.#left} leftovers could not be removed, and will be tried again${rest}: ${reason}`;
    return new LeftoversError(message, { cause: this.#first });
  }
}
