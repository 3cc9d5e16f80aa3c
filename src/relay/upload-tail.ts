import type { TailSegment } from '../catalog/upload-catalog.ts';
import type { UploadRecord } from '../catalog/upload-record.ts';
import type { ObjectStorage } from '../s3/object-storage.ts';
import { type HeldPayload, joinPayloads } from './held-payload.ts';
import { giveUpIfLost } from './lost-upload.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { storeUnnamed } from './part-uploader.ts';
import type { S3Retry } from './s3-retry.ts';
import type { StorageEvidence } from './storage-canary.ts';
import { demandWholeTail, MemorySpentError, openSegments, segmentKey, TailDamagedError } from './tail.ts';
import type { TailMemory } from './tail-memory.ts';
import { countToMerge, type TailTiers } from './tail-tiers.ts';
import type { UploadLedger } from './upload-ledger.ts';

export interface TailDependencies {
  storage: ObjectStorage;
  retry: S3Retry;
  /** Asked before bytes that the bucket lacks are believed to be gone. */
  evidence: Pick<StorageEvidence, 'demand'>;
  budget: MemoryBudget;
  tails: TailMemory;
  tailTiers: TailTiers;
  /** Called after each commit that moved the offset. */
  onCommitted?: (upload: UploadRecord) => void;
}

/** The tail in the hands of the upload's one writer. */
export class UploadTail {
  readonly #ledger: UploadLedger;
  readonly #dependencies: TailDependencies;
  /** Committed, and in no part yet. */
  #segments: readonly TailSegment[];
  /**
   * Of the newest segment. It goes on counting when others were taken up: those are removed by their keys, at any time,
   * and no other may have one of these.
   */
  #lastSequence: number;
  #discarded = false;

  /** @param segments of the claimed upload */
  constructor(ledger: UploadLedger, segments: readonly TailSegment[], dependencies: TailDependencies) {
    this.#ledger = ledger;
    this.#segments = segments;
    this.#lastSequence = segments.at(-1)?.sequence ?? 0;
    this.#dependencies = dependencies;
  }

  /** Segments were taken up: with the commit they become discards. */
  get discarded(): boolean {
    return this.#discarded;
  }

  /**
   * Stores and commits what follows the tail as one more segment, or together with the last ones as one.
   *
   * @param rest is remembered or released
   * @param isEnd the last thing that this writer does
   */
  async store(rest: HeldPayload, isEnd: boolean): Promise<void> {
    const { storage, retry, tails, onCommitted } = this.#dependencies;
    const { objectKey, uploadId } = this.#ledger.upload;
    const sequence = this.#lastSequence + 1;
    this.#lastSequence = sequence;
    let payload = rest;
    try {
      const { merged, front } = await this.#openMerged(rest.bytes);
      payload = joinPayloads([...front, rest]);
      const segment = {
        sequence,
        objectKey: segmentKey(objectKey, this.#ledger.token, sequence),
        bytes: payload.bytes,
      };
      await storeUnnamed(this.#ledger, retry, (options) => storage.putObject(segment.objectKey, payload, {}, options));
      await this.#ledger.commitTail(segment, merged, isEnd);
      this.#segments = [...this.#segments.slice(0, this.#segments.length - merged.length), segment];
      if (merged.length > 0) this.#discarded = true;
      tails.remember(
        uploadId,
        this.#segments.map((it) => it.objectKey),
        payload,
      );
    } catch (error) {
      payload.release();
      throw error;
    }
    onCommitted?.(this.#ledger.upload);
  }

  /**
   * The tail in front of what follows it, for the part that takes both up.
   *
   * @param rest null: nothing follows. Released on failure
   * @returns null when there is nothing at all
   */
  async takeUp(rest: HeldPayload | null): Promise<HeldPayload | null> {
    if (this.#segments.length === 0) return rest;
    try {
      const front = await this.#open(this.#segments);
      this.#segments = [];
      this.#discarded = true;
      this.#dependencies.tails.forget(this.#ledger.upload.uploadId);
      return joinPayloads(rest === null ? front : [...front, rest]);
    } catch (error) {
      rest?.release();
      throw error;
    }
  }

  /**
   * The segments that the next one takes up, and their bytes.
   *
   * @param nextBytes what the next one brings by itself
   */
  async #openMerged(nextBytes: number): Promise<{ merged: readonly TailSegment[]; front: HeldPayload[] }> {
    const sizes = this.#segments.map((segment) => segment.bytes);
    const count = countToMerge(sizes, nextBytes, this.#ledger.upload.partBytes, this.#dependencies.tailTiers);
    const merged = this.#segments.slice(this.#segments.length - count);
    if (count === 0) return { merged, front: [] };
    try {
      return { merged, front: await this.#open(merged) };
    } catch (error) {
      // It would only tidy up. What has arrived is stored all the same, and a later request merges.
      if (error instanceof MemorySpentError) return { merged: [], front: [] };
      throw error;
    }
  }

  /**
   * Their bytes, from this node's memory, else from S3.
   *
   * @throws UploadLostError when the bucket has not what the catalog says it has: the upload has ended then
   */
  async #open(segments: readonly TailSegment[]): Promise<HeldPayload[]> {
    const { storage, retry, evidence } = this.#dependencies;
    const { upload } = this.#ledger;
    let opened: HeldPayload[] = [];
    await giveUpIfLost(this.#ledger, storage, retry, evidence, async () => {
      try {
        demandWholeTail(upload, this.#segments);
        opened = await openSegments(this.#dependencies, upload.uploadId, segments);
        return null;
      } catch (error) {
        if (!(error instanceof TailDamagedError)) throw error;
        // Whoever has taken over from us may have taken up the tail, and removed its segments: then nothing is damaged.
        await this.#ledger.look();
        return error.what;
      }
    });
    return opened;
  }
}
