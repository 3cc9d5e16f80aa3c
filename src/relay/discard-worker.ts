/**
 * Removes from S3 what committed changes made unnecessary. It only ever acts on committed `discards` rows (V5), so it
 * may run on every node, at any time, and be killed anywhere.
 */
import type { Discard, DiscardCatalogPort } from '../catalog/discard-catalog.ts';
import type { CallOptions, ObjectStorage } from '../s3/object-storage.ts';

const BATCH = 500;
/** A part that was under way when the upload was aborted can bring it back: abort until S3 does not know it any more. */
const MAX_ABORTS = 5;

type Remover = Pick<
  ObjectStorage,
  'deleteObjects' | 'abortMultipartUpload' | 'listParts' | 'listMultipartUploads' | 'listObjects'
>;

/** What one turn of the sweeper has done. */
export interface DiscardTurn {
  /** How many rows are settled: their objects are not there any more. */
  removed: number;
  /** How many were looked at and are still there; what was wrong has been reported. */
  left: number;
  /** The turn ended at its bound; there may be more to do. */
  more: boolean;
}

interface DiscardWork {
  find(afterId: number): Promise<Discard[]>;
  settle(discardIds: readonly number[]): Promise<void>;
}

export class DiscardWorker {
  readonly #discards: DiscardCatalogPort;
  readonly #storage: Remover;
  readonly #onFailure: (error: unknown) => void;
  #running: Promise<void> | null = null;
  #undoneAfter = 0;
  #recheckAfter = 0;
  #kickedAgain = false;

  /** @param onFailure what could not be removed stays in the catalog and is tried again by the sweeper */
  constructor(discards: DiscardCatalogPort, storage: Remover, onFailure: (error: unknown) => void) {
    this.#discards = discards;
    this.#storage = storage;
    this.#onFailure = onFailure;
  }

  /** After a commit that wrote discards. Comes back at once. */
  kick(): void {
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

  /**
   * For the sweeper: what nobody has removed yet, in a bounded number of batches. Goes on behind where its last turn
   * stopped and begins again at the end, so that rows which fail again and again keep nobody from having a turn.
   */
  async removeUndone(maxBatches: number, signal?: AbortSignal): Promise<DiscardTurn> {
    const turn = await this.#takeTurn(this.#undoneAfter, maxBatches, signal, {
      find: (afterId) => this.#discards.findUndone(BATCH, afterId),
      settle: (gone) => this.#discards.settleDeleted(gone),
    });
    this.#undoneAfter = turn.stoppedAt;
    return turn;
  }

  /** The same for the rows whose recheck is due: these are gone for good. */
  async recheck(maxBatches: number, signal?: AbortSignal): Promise<DiscardTurn> {
    const turn = await this.#takeTurn(this.#recheckAfter, maxBatches, signal, {
      find: (afterId) => this.#discards.findDueForRecheck(BATCH, afterId),
      settle: (gone) => this.#discards.drop(gone),
    });
    this.#recheckAfter = turn.stoppedAt;
    return turn;
  }

  async #takeTurn(startAfter: number, maxBatches: number, signal: AbortSignal | undefined, work: DiscardWork) {
    let stoppedAt = startAfter;
    let removed = 0;
    let left = 0;
    for (let batch = 0; batch < maxBatches && signal?.aborted !== true; batch += 1) {
      const discards = await work.find(stoppedAt);
      const gone = await this.#remove(discards, signal);
      await work.settle(gone);
      removed += gone.length;
      left += discards.length - gone.length;
      if (discards.length < BATCH) return { removed, left, more: startAfter > 0, stoppedAt: 0 };
      stoppedAt = discards.at(-1)?.discardId ?? 0;
    }
    return { removed, left, more: true, stoppedAt };
  }

  async #run(): Promise<void> {
    try {
      for (let afterId = 0; ; ) {
        const undone = await this.#discards.findUndone(BATCH, afterId);
        const gone = await this.#remove(undone);
        await this.#discards.settleDeleted(gone);
        if (undone.length < BATCH || gone.length === 0) return;
        afterId = undone.at(-1)?.discardId ?? afterId;
      }
    } catch (error) {
      this.#onFailure(error);
    }
  }

  /**
   * Multipart uploads first: one that lives could still become the object. A row that S3 does not let us settle stays,
   * and does not keep the others.
   *
   * @returns the ids of what is gone
   */
  async #remove(discards: readonly Discard[], signal?: AbortSignal): Promise<number[]> {
    const options = signal === undefined ? {} : { signal };
    const removable = new Map<number, string[]>();
    for (const discard of discards) {
      if (signal?.aborted) break;
      try {
        if (await this.#abortUploads(discard, options))
          removable.set(discard.discardId, await this.#keysOf(discard, options));
      } catch (error) {
        // What was cut short is no failure.
        if (!signal?.aborted) this.#onFailure(error);
      }
    }
    const keys = [...new Set([...removable.values()].flat())];
    if (keys.length === 0) return [...removable.keys()];
    const { failedKeys } = await this.#storage.deleteObjects(keys, options);
    if (failedKeys.length > 0)
      this.#onFailure(new Error(`S3 did not delete ${failedKeys.length} of ${keys.length} objects`));
    const failed = new Set(failedKeys);
    return [...removable].filter(([, own]) => !own.some((key) => failed.has(key))).map(([discardId]) => discardId);
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
