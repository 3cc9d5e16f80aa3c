/**
 * From `completing` to `finished` (design section 3, steps 8 and 9): CompleteMultipartUpload with the parts from the
 * catalog, then the finishing transaction (V4). Safe to repeat at every point, by any node, with or without the client.
 */
import type { Database } from '../catalog/database.ts';
import type { CommittedPart, UploadCatalogPort } from '../catalog/upload-catalog.ts';
import type { UploadRecord } from '../catalog/upload-record.ts';
import type { CallOptions, ObjectStorage } from '../s3/object-storage.ts';
import { payloadFrom } from '../s3/payload.ts';
import { S3Error } from '../s3/s3-errors.ts';
import type { Clock } from './clock.ts';
import { isWholeObject, uploadObjectHeaders } from './object-headers.ts';
import { CompletionMissingError, UploadCompletingError, UploadGoneError, UploadNotFoundError } from './relay-errors.ts';
import { repairParts } from './repair.ts';
import { S3Retry } from './s3-retry.ts';
import type { StorageEvidence } from './storage-canary.ts';
import type { EndOfBytes } from './upload-ledger.ts';

/** As for a writer: who has not seen the row for so long looks again before it signs a Complete. */
const LOOK_AGAIN_MS = 60_000;
/**
 * How long one call of a completion may take, repetitions included: to put ten thousand parts together takes S3 minutes.
 * No request waits for so long, and nothing is held meanwhile.
 */
const CALL_MS = 600_000;
/** Longest random wait before the Complete that follows a repair: two that repair at one time come apart by it. */
const REPAIR_JITTER_MS = 1_000;

export interface CompleterDependencies {
  database: Database;
  catalog: UploadCatalogPort;
  storage: ObjectStorage;
  clock: Clock;
  evidence: Pick<StorageEvidence, 'assertHere'>;
  end: Pick<EndOfBytes, 'recordFinished'>;
  /** Called after the finishing transaction of this process. */
  onFinished?: (upload: UploadRecord) => void;
  /** Called when S3's parts were not the committed ones, and have been restored. */
  onRepaired?: (upload: UploadRecord, partNumbers: readonly number[]) => void;
}

export class UploadCompleter {
  readonly #dependencies: CompleterDependencies;
  readonly #retry: S3Retry;
  /** One completion of an upload at a time on this node. */
  readonly #running = new Map<string, Promise<UploadRecord>>();

  constructor(dependencies: CompleterDependencies) {
    this.#dependencies = dependencies;
    this.#retry = new S3Retry(dependencies.clock, { callMs: CALL_MS });
  }

  /**
   * Finishes an upload whose bytes are all there; returns at once when it is finished already.
   *
   * @param isFirst the caller has just committed the last byte: nobody else has sent a Complete before
   * @returns the finished row
   * @throws UploadGoneError when it ended otherwise, S3Error and UnavailableError when it is to be tried again
   */
  complete(uploadId: string, isFirst = false): Promise<UploadRecord> {
    return this.#running.get(uploadId) ?? this.#start(uploadId, { isFirst, repairs: false });
  }

  /** For the job, the only one that repairs: two that do it at one time could undo each other's work for ever. */
  async completeAndRepair(uploadId: string): Promise<UploadRecord> {
    await this.#running.get(uploadId)?.catch(() => {});
    return this.#start(uploadId, { isFirst: false, repairs: true });
  }

  #start(uploadId: string, run: Pick<CompletionRun, 'isFirst' | 'repairs'>): Promise<UploadRecord> {
    const running = this.#run(uploadId, { ...run, unclean: !run.isFirst, lookedMs: 0 }).finally(() => {
      if (this.#running.get(uploadId) === running) this.#running.delete(uploadId);
    });
    this.#running.set(uploadId, running);
    return running;
  }

  async #run(uploadId: string, run: CompletionRun): Promise<UploadRecord> {
    await this.#dependencies.evidence.assertHere();
    run.lookedMs = this.#dependencies.clock.now();
    const upload = await this.#getCompleting(uploadId);
    if (upload.state === 'finished') return upload;
    try {
      await this.#putTogether(upload, run);
    } catch (error) {
      // Another completer may have come first, and its finish taken the parts away.
      const now = await this.#getCompleting(uploadId);
      if (now.state === 'finished') return now;
      throw error;
    }
    return this.#finish(upload, run);
  }

  /** @returns the row, completing or finished */
  async #getCompleting(uploadId: string): Promise<UploadRecord> {
    const upload = await this.#dependencies.catalog.find(uploadId);
    if (upload === null) throw new UploadNotFoundError(uploadId);
    if (upload.state === 'finished' || upload.state === 'completing') return upload;
    throw new UploadGoneError(uploadId, `is ${upload.state}`);
  }

  async #putTogether(upload: UploadRecord, run: CompletionRun): Promise<void> {
    const { storage, catalog } = this.#dependencies;
    const { objectKey, s3UploadId, uploadId } = upload;
    if (s3UploadId === null) {
      // Only an upload of length 0 is completing without parts. Any completer may be sending the same: unlike a
      // Complete, a late PutObject would bring the object of a deleted file back.
      run.unclean = true;
      await this.#write(upload, run, (options) =>
        storage.putObject(objectKey, payloadFrom([]), uploadObjectHeaders(upload), options),
      );
      return;
    }
    const parts = await catalog.findParts(uploadId);
    if (parts.length === 0) throw new UploadCompletingError(uploadId);
    try {
      await this.#sendComplete(upload, s3UploadId, parts, run);
    } catch (error) {
      if (!(error instanceof S3Error)) throw error;
      if (error.s3Code === 'NoSuchUpload') await this.#expectObject(upload);
      else if (error.s3Code === 'InvalidPart' && run.repairs) await this.#repair(upload, s3UploadId, parts, run);
      else throw error;
    }
  }

  #sendComplete(upload: UploadRecord, s3UploadId: string, parts: readonly CommittedPart[], run: CompletionRun) {
    const { storage } = this.#dependencies;
    return this.#write(upload, run, (options) =>
      storage.completeMultipartUpload(upload.objectKey, s3UploadId, parts, options),
    );
  }

  /** InvalidPart: a late request of a fenced writer has overwritten a part (design section 4). */
  async #repair(
    upload: UploadRecord,
    s3UploadId: string,
    parts: readonly CommittedPart[],
    run: CompletionRun,
  ): Promise<void> {
    const { clock, storage, onRepaired } = this.#dependencies;
    const write = <T>(call: (options: CallOptions) => Promise<T>) => this.#write(upload, run, call);
    const repaired = await repairParts(upload, s3UploadId, parts, storage, this.#retry, write);
    onRepaired?.(upload, repaired.restored);
    await clock.sleep(clock.random() * REPAIR_JITTER_MS);
    await this.#sendComplete(upload, s3UploadId, repaired.parts, run);
  }

  /** NoSuchUpload: a Complete has come before us, or the provider removed the upload. The object's size decides. */
  async #expectObject(upload: UploadRecord): Promise<void> {
    const { storage } = this.#dependencies;
    const object = await this.#retry.run((options) => storage.headObject(upload.objectKey, options));
    const isOurs = object !== null && isWholeObject(object, upload);
    if (!isOurs) throw new CompletionMissingError(upload.uploadId);
  }

  /** A write to S3 on behalf of a completion: only while the row still says completing. */
  async #write<T>(upload: UploadRecord, run: CompletionRun, call: (options: CallOptions) => Promise<T>): Promise<T> {
    const { clock } = this.#dependencies;
    return this.#retry.run(call, {
      beforeAttempt: async () => {
        // From when it was asked: before it reads the answer the process may sleep for hours.
        while (clock.now() - run.lookedMs >= LOOK_AGAIN_MS) {
          const askedMs = clock.now();
          const { state } = await this.#getCompleting(upload.uploadId);
          if (state === 'finished') throw new UploadCompletingError(upload.uploadId);
          run.lookedMs = askedMs;
        }
      },
      onUnknownOutcome: () => {
        run.unclean = true;
      },
    });
  }

  async #finish(completing: UploadRecord, run: CompletionRun): Promise<UploadRecord> {
    const { database, catalog, end, onFinished } = this.#dependencies;
    const finished = await database.transaction(async (trx) => {
      const row = await catalog.finishCompleting(trx, completing.uploadId, run.unclean);
      if (row !== null) await end.recordFinished(trx, row);
      return row;
    });
    if (finished !== null) {
      onFinished?.(finished);
      return finished;
    }
    // Another node's completion, or a termination, came first.
    return this.#getCompleting(completing.uploadId);
  }
}

interface CompletionRun {
  isFirst: boolean;
  repairs: boolean;
  /** When the row was last asked, and said completing. */
  lookedMs: number;
  /** Some Complete of this upload may still be under way when it is finished. */
  unclean: boolean;
}
