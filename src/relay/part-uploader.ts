/**
 * Sends the whole parts of one request to S3, a few at a time, and commits them in order (design section 3, step 5).
 * A number is sent only when a commit of this writer has raised `sent_up_to` to it, so that whoever takes over knows
 * which parts may still arrive.
 */

import type { CommittedPart } from '../catalog/upload-catalog.ts';
import type { UploadRecord } from '../catalog/upload-record.ts';
import { UnavailableError } from '../errors.ts';
import { detectType, TYPE_HEAD_BYTES } from '../pipeline/detect-type.ts';
import type { CallOptions, ObjectStorage } from '../s3/object-storage.ts';
import { S3Error } from '../s3/s3-errors.ts';
import type { HeldPayload } from './held-payload.ts';
import { giveUpIfLost } from './lost-upload.ts';
import { uploadObjectHeaders } from './object-headers.ts';
import type { S3Retry } from './s3-retry.ts';
import type { StorageEvidence } from './storage-canary.ts';
import type { UploadLedger } from './upload-ledger.ts';

/** Parts of one request that may be on their way to S3 at once: enough to hide S3's latency behind the client's. */
export const PARTS_AHEAD = 4;
/** How often a part is sent to a multipart upload that S3 denies and then lists. */
const MAX_CONTRADICTIONS = 3;

export class PartUploader {
  readonly #ledger: UploadLedger;
  readonly #storage: ObjectStorage;
  readonly #retry: S3Retry;
  readonly #evidence: Pick<StorageEvidence, 'demand'>;
  readonly #onCommitted: (upload: UploadRecord) => void;
  readonly #inFlight = new Set<Promise<void>>();
  /** Ends when everything handed in so far is committed; rejects with the first failure. */
  #committed: Promise<void> = Promise.resolve();
  #failed = false;
  /** Of the parts that are being stored, by their numbers: ends their calls to S3. */
  readonly #ends = new Map<number, AbortController>();

  constructor(
    ledger: UploadLedger,
    storage: ObjectStorage,
    retry: S3Retry,
    evidence: Pick<StorageEvidence, 'demand'>,
    onCommitted: (upload: UploadRecord) => void = () => {},
  ) {
    this.#ledger = ledger;
    this.#storage = storage;
    this.#retry = retry;
    this.#evidence = evidence;
    this.#onCommitted = onCommitted;
  }

  /**
   * Hands in a whole part that is not the last one, and that is released as soon as it is stored. Comes back as soon as
   * there is room for the next.
   *
   * @throws what an earlier part failed with: then there is no use in reading on
   */
  async add(partNumber: number, payload: HeldPayload): Promise<void> {
    try {
      await this.#ensureMultipart();
      while (this.#inFlight.size >= PARTS_AHEAD || partNumber > this.#ledger.upload.sentUpTo) {
        if (this.#failed) await this.#committed;
        if (this.#inFlight.size === 0) {
          throw new Error(`part ${partNumber} may not be sent yet, and nothing is under way`);
        }
        await Promise.race(this.#inFlight);
      }
      if (this.#failed) await this.#committed;
    } catch (error) {
      payload.release();
      throw error;
    }
    const before = this.#committed;
    const end = new AbortController();
    this.#ends.set(partNumber, end);
    const stored = this.#store(partNumber, payload, end.signal).finally(() => {
      this.#ends.delete(partNumber);
      payload.release();
    });
    // The first failure is the one that the caller learns: of an upload that is gone the later parts say "taken over".
    const settled = (async () => {
      await before;
      const [part, detectedType] = await stored;
      await this.#ledger.commitPart(part, partNumber + PARTS_AHEAD, detectedType);
      this.#onCommitted(this.#ledger.upload);
    })();
    this.#committed = settled;
    const fail = () => {
      this.#failed = true;
      this.#endAfter(partNumber);
    };
    stored.catch(fail);
    // The failure reaches the caller through the next add() or through committed().
    const tracked = settled.catch(fail);
    // A part counts as in flight until its own call to S3 is over, whatever became of the ones before it.
    const over = Promise.allSettled([stored, tracked]).then(() => {
      this.#inFlight.delete(over);
    });
    this.#inFlight.add(over);
  }

  /** Waits until every part handed in is committed. @throws the first failure, once nothing is under way any more */
  async committed(): Promise<void> {
    await Promise.all(this.#inFlight);
    await this.#committed;
  }

  /** Stores the part that ends the upload; its commit and its release are the caller's. */
  async storeLast(partNumber: number, payload: HeldPayload): Promise<[CommittedPart, string | null]> {
    await this.#ensureMultipart();
    return this.#store(partNumber, payload);
  }

  /**
   * No part behind one that failed can be committed any more. When the end is an unclean one already, there is nothing
   * gained either by waiting for S3's answers, and a storage that hangs would not give them.
   */
  #endAfter(failedNumber: number): void {
    if (this.#ledger.clean) return;
    for (const [partNumber, end] of this.#ends) if (partNumber > failedNumber) end.abort();
  }

  async #ensureMultipart(): Promise<void> {
    if (this.#ledger.upload.s3UploadId !== null) return;
    const { objectKey } = this.#ledger.upload;
    const created = await storeUnnamed(this.#ledger, this.#retry, (options) =>
      this.#storage.createMultipartUpload(objectKey, uploadObjectHeaders(this.#ledger.upload), options),
    );
    await this.#ledger.commitMultipart(created.s3UploadId, PARTS_AHEAD);
  }

  async #store(
    partNumber: number,
    payload: HeldPayload,
    signal?: AbortSignal,
  ): Promise<[CommittedPart, string | null]> {
    const { objectKey, contestedTo } = this.#ledger.upload;
    const detectedType = partNumber === 1 ? await detectType(await payload.head(TYPE_HEAD_BYTES)) : null;
    let copyKey: string | null = null;
    if (partNumber <= contestedTo) {
      // A fenced writer may still overwrite this number. The copy has a key that it does not know.
      const key = `${objectKey}.copy/${this.#ledger.token}/${partNumber}`;
      await storeUnnamed(
        this.#ledger,
        this.#retry,
        (options) => this.#storage.putObject(key, payload, {}, options),
        signal,
      );
      copyKey = key;
    }
    const etag = await this.#uploadPart(partNumber, payload, signal);
    return [{ partNumber, bytes: payload.bytes, etag, copyKey }, detectedType];
  }

  async #uploadPart(partNumber: number, payload: HeldPayload, signal: AbortSignal | undefined): Promise<string> {
    const { objectKey } = this.#ledger.upload;
    const s3UploadId = this.#ledger.upload.s3UploadId as string;
    for (let tries = 1; ; tries += 1) {
      try {
        const { etag } = await ledgerWrite(
          this.#ledger,
          this.#retry,
          (options) => this.#storage.uploadPart(objectKey, s3UploadId, partNumber, payload, options),
          signal,
        );
        return etag;
      } catch (error) {
        if (!(error instanceof S3Error) || error.s3Code !== 'NoSuchUpload') throw error;
        await this.#giveUpIfLost(objectKey, s3UploadId);
        // S3 has it after all.
        if (tries < MAX_CONTRADICTIONS) continue;
        throw new UnavailableError('storage', 'S3 lists the multipart upload and takes no part of it', {
          cause: error,
        });
      }
    }
  }

  #giveUpIfLost(objectKey: string, s3UploadId: string): Promise<void> {
    return giveUpIfLost(this.#ledger, this.#storage, this.#retry, this.#evidence, async () => {
      const parts = await this.#retry.run((options) => this.#storage.listParts(objectKey, s3UploadId, options));
      return parts === null ? 'its multipart upload is not there' : null;
    });
  }
}

type Attempt<T> = (options: CallOptions) => Promise<T>;

/**
 * A write to S3 on behalf of a writer: looks at the row when the last look is old, repeats, and keeps account.
 *
 * @param signal ends it at once; whether S3 does it is then unknown
 */
export function ledgerWrite<T>(
  ledger: UploadLedger,
  retry: S3Retry,
  call: Attempt<T>,
  signal?: AbortSignal,
): Promise<T> {
  return retry.run(call, {
    beforeAttempt: () => ledger.lookBeforeSending(),
    onUnknownOutcome: () => ledger.markUnclean(),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** The same for what has a key or an id of its own, which only the commit after it makes known. */
export async function storeUnnamed<T>(
  ledger: UploadLedger,
  retry: S3Retry,
  call: Attempt<T>,
  signal?: AbortSignal,
): Promise<T> {
  ledger.beginUnnamed();
  try {
    return await ledgerWrite(ledger, retry, call, signal);
  } catch (error) {
    // Of an attempt whose outcome is unknown the ledger has been told.
    if (error instanceof S3Error) ledger.dropUnnamed();
    throw error;
  }
}
