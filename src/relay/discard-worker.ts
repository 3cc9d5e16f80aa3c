/**
 * Removes from S3 what committed changes made unnecessary. It only ever acts on committed `discards` rows (V5), so it
 * may run on every node, at any time, and be killed anywhere.
 */
import type { Discard, DiscardCatalogPort } from '../catalog/discard-catalog.ts';
import type { ObjectStorage } from '../s3/object-storage.ts';

const BATCH = 500;
/** A part that was under way when the upload was aborted can bring it back: abort until S3 does not know it any more. */
const MAX_ABORTS = 5;

type Remover = Pick<ObjectStorage, 'deleteObjects' | 'abortMultipartUpload'>;

export class DiscardWorker {
  readonly #discards: DiscardCatalogPort;
  readonly #storage: Remover;
  readonly #onFailure: (error: unknown) => void;
  #running: Promise<void> | null = null;
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

  /** One batch of rows whose recheck is due. @returns how many are gone for good */
  async recheck(): Promise<number> {
    const due = await this.#discards.findDueForRecheck(BATCH);
    const gone = await this.#remove(due);
    await this.#discards.drop(gone);
    return gone.length;
  }

  async #run(): Promise<void> {
    try {
      for (;;) {
        const undone = await this.#discards.findUndone(BATCH);
        const gone = await this.#remove(undone);
        await this.#discards.settleDeleted(gone);
        if (undone.length < BATCH || gone.length === 0) return;
      }
    } catch (error) {
      this.#onFailure(error);
    }
  }

  /** Multipart uploads first: one that lives could still become the object. @returns the ids of what is gone */
  async #remove(discards: readonly Discard[]): Promise<number[]> {
    const kept = new Set<number>();
    for (const discard of discards) {
      if (discard.s3UploadId !== null && !(await this.#abort(discard.objectKey, discard.s3UploadId))) {
        kept.add(discard.discardId);
      }
    }
    const removable = discards.filter((discard) => !kept.has(discard.discardId));
    if (removable.length === 0) return [];
    const { failedKeys } = await this.#storage.deleteObjects([...new Set(removable.map((it) => it.objectKey))]);
    const failed = new Set(failedKeys);
    return removable.filter((it) => !failed.has(it.objectKey)).map((it) => it.discardId);
  }

  async #abort(key: string, s3UploadId: string): Promise<boolean> {
    try {
      for (let tries = 0; tries < MAX_ABORTS; tries += 1) {
        if ((await this.#storage.abortMultipartUpload(key, s3UploadId)) === 'missing') return true;
      }
    } catch (error) {
      this.#onFailure(error);
    }
    return false;
  }
}
