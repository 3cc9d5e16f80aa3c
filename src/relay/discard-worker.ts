/**
 * Removes from S3 what committed changes made unnecessary. It only ever acts on committed `discards` rows (V5), so it
 * may run on every node, at any time, and be killed anywhere.
 */
import type { Discard, DiscardCatalogPort } from '../catalog/discard-catalog.ts';
import type { ObjectStorage } from '../s3/object-storage.ts';

const BATCH = 500;
/** A part that was under way when the upload was aborted can bring it back: abort until S3 does not know it any more. */
const MAX_ABORTS = 5;

type Remover = Pick<
  ObjectStorage,
  'deleteObjects' | 'abortMultipartUpload' | 'listParts' | 'listMultipartUploads' | 'listObjects'
>;

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

  /**
   * Multipart uploads first: one that lives could still become the object. A row that S3 does not let us settle stays,
   * and does not keep the others.
   *
   * @returns the ids of what is gone
   */
  async #remove(discards: readonly Discard[]): Promise<number[]> {
    const removable = new Map<number, string[]>();
    for (const discard of discards) {
      try {
        if (await this.#abortUploads(discard)) removable.set(discard.discardId, await this.#keysOf(discard));
      } catch (error) {
        this.#onFailure(error);
      }
    }
    const keys = [...new Set([...removable.values()].flat())];
    if (keys.length === 0) return [...removable.keys()];
    const { failedKeys } = await this.#storage.deleteObjects(keys);
    const failed = new Set(failedKeys);
    return [...removable].filter(([, own]) => !own.some((key) => failed.has(key))).map(([discardId]) => discardId);
  }

  /** @returns whether none of the discard's multipart uploads lives any more */
  async #abortUploads({ objectKey, scope, s3UploadId }: Discard): Promise<boolean> {
    const ids = new Set(s3UploadId === null ? [] : [s3UploadId]);
    if (scope !== 'object') {
      for (const listed of await this.#storage.listMultipartUploads(objectKey)) ids.add(listed.s3UploadId);
    }
    let gone = true;
    for (const id of ids) gone = (await this.#abort(objectKey, id)) && gone;
    return gone;
  }

  /** Some services (MinIO) answer an abort of anything with success: that it is gone is for ListParts to say. */
  async #abort(key: string, s3UploadId: string): Promise<boolean> {
    for (let tries = 0; tries < MAX_ABORTS; tries += 1) {
      if ((await this.#storage.abortMultipartUpload(key, s3UploadId)) === 'missing') return true;
      if ((await this.#storage.listParts(key, s3UploadId)) === null) return true;
    }
    return false;
  }

  /** Listed before the catalog is asked what it needs of them: a key that is not needed then never will be again. */
  async #keysOf({ uploadId, objectKey, scope }: Discard): Promise<string[]> {
    if (scope === 'object') return [objectKey];
    const listed: string[] = [];
    for (let more = true; more; ) {
      const page = await this.#storage.listObjects(`${objectKey}.`, listed.at(-1));
      listed.push(...page.objects.map((object) => object.key));
      more = page.more;
    }
    const needed = new Set(listed.length === 0 ? [] : await this.#discards.findNeededKeys(uploadId));
    const unneeded = listed.filter((key) => !needed.has(key));
    return scope === 'key' ? [objectKey, ...unneeded] : unneeded;
  }
}
