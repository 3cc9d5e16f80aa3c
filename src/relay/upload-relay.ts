/**
 * What a protocol can do with an upload: create, append, look, terminate. Who waits for whom is the caller's (it holds
 * the lock); what is true is the catalog's.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Database } from '../catalog/database.ts';
import type { NewUpload, UploadCatalogPort } from '../catalog/upload-catalog.ts';
import { type UploadRecord, WRITER_SILENCE_SECS } from '../catalog/upload-record.ts';
import { UploadLockedError, type WriterCalls } from '../locks/upload-locker.ts';
import type { EventBus } from '../pipeline/event-bus.ts';
import type { ObjectStorage } from '../s3/object-storage.ts';
import { type AppendResult, appendToUpload } from './append-upload.ts';
import { type BodyEnd, BodyReader, hasBytes, type RequestBody } from './body-reader.ts';
import { endUnreachable, goOnAfter } from './broken-creation.ts';
import type { Clock } from './clock.ts';
import type { UploadCompleter } from './complete-upload.ts';
import type { DiscardWorker } from './discard-worker.ts';
import { EarlyBytes } from './early-bytes.ts';
import { Heartbeat } from './heartbeat.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { freshObjectKey } from './object-key.ts';
import { choosePartBytes, tailBytes, UploadTooLargeError } from './part-plan.ts';
import { PARTS_AHEAD } from './part-uploader.ts';
import {
  InvalidUploadLengthError,
  OffsetMismatchError,
  UploadCompletingError,
  UploadGoneError,
  UploadLostError,
  UploadNotFoundError,
  UploadSizeExceededError,
} from './relay-errors.ts';
import { S3Retry, StorageSlowError } from './s3-retry.ts';
import type { StorageEvidence } from './storage-canary.ts';
import type { TailMemory } from './tail-memory.ts';
import type { TailTiers } from './tail-tiers.ts';
import { newUploadCounters } from './upload-counters.ts';
import { type EndOfBytes, UploadLedger } from './upload-ledger.ts';

/** Without a common lock: how long one waits for the end or the silence of a writer, and how often one looks for it. */
const SILENCE_WAIT_MS = (WRITER_SILENCE_SECS + 1) * 1_000;
const SILENCE_POLL_MS = 1_000;

/** How long a HEAD waits for an object that is being put together. */
const COMPLETION_WAIT_MS = 10_000;

export interface RelaySettings {
  maxUploadBytes: number;
  /** The operator's wish for P. */
  partBytes: number;
  /** The storage's limit of parts per object. */
  maxParts: number;
  /** How small requests' bytes are gathered until they fill a part. */
  tailTiers: TailTiers;
  /** Longest silence of a client whose body we read. */
  idleBodyMs: number;
  /** How long a request waits for a call to S3 of which nothing moves, repetitions included: see RetryLimits. */
  s3CallMs: number;
  /** In front of every object key; may be empty. */
  keyPrefix: string;
  /** As the catalog has it: a writer keeps its upload from expiring. */
  uploadExpiresSecs: number;
}

export interface RelayDependencies {
  database: Database;
  catalog: UploadCatalogPort;
  storage: ObjectStorage;
  completer: UploadCompleter;
  discards: DiscardWorker;
  evidence: StorageEvidence;
  /** Told of progress and of finished uploads; of other ends the catalog tells. */
  events: Pick<EventBus, 'publish'>;
  end: EndOfBytes;
  clock: Clock;
  /** Of the whole process. */
  budget: MemoryBudget;
  tails: TailMemory;
  /** Do all nodes wait for one another's requests now? False while Redis is lost, and without it. */
  isLockShared: () => boolean;
  /** Called when a request has found that the storage has lost an upload, which has ended with that. */
  onLost: (uploadId: string, error: UploadLostError) => void;
  /** How writers on other nodes are reached while it is not; null: not at all. */
  calls: WriterCalls | null;
}

export interface CreateRequest {
  /** A uuid; made here when left out. */
  uploadId?: string;
  owner: string;
  /** null: deferred. */
  lengthBytes: number | null;
  /** The Upload-Metadata header, byte for byte; checked by the protocol. */
  metadata: string | null;
  /** creation-with-upload. */
  body: RequestBody | null;
  /** An upload of length 0 waits for its object no longer when it aborts. */
  stop?: AbortSignal;
}

export interface AppendRequest {
  uploadId: string;
  offsetBytes: number;
  /** The length of an upload that was created without one. */
  declaredLengthBytes: number | null;
  body: RequestBody;
}

export interface Appended {
  upload: UploadRecord;
  bodyEnd: BodyEnd;
}

export interface Created {
  /** In state `completing` when the last step of a creation failed: its offset may not be named then (V3). */
  upload: UploadRecord;
  /** null: there was no body, or how much of it is stored is not known. */
  offsetBytes: number | null;
  /** Why the body could not be stored to its end, though the client can go on; null: nothing went wrong. */
  failure: unknown;
}

interface ClaimedUpload {
  /** The row, as the claim wrote it. */
  upload: UploadRecord;
  /** On the relay's clock: when the claim was sent. */
  claimedAtMs: number;
}

export class UploadRelay {
  readonly settings: RelaySettings;
  /** For the metrics; whoever puts the relay together counts in it what happens outside of it. */
  readonly counters = newUploadCounters();
  readonly #dependencies: RelayDependencies;

  constructor(settings: RelaySettings, dependencies: RelayDependencies) {
    this.settings = settings;
    this.#dependencies = dependencies;
  }

  /**
   * Stops what a request's connection brings before anything is waited for. To be disposed of when the request is over.
   */
  receive(request: IncomingMessage): EarlyBytes {
    return new EarlyBytes(request, this.#dependencies.budget.waitingRoom);
  }

  /**
   * One row, no request to S3, unless there is a body or nothing to wait for (length 0). See broken-creation.ts for
   * what becomes of a body that cannot be stored.
   *
   * @throws UploadTooLargeError, UploadSizeExceededError, and what the client cannot go on from
   */
  async create(request: CreateRequest): Promise<Created> {
    const { lengthBytes, owner, metadata, body } = request;
    const { maxUploadBytes, maxParts, keyPrefix } = this.settings;
    if (lengthBytes !== null && lengthBytes > maxUploadBytes)
      throw new UploadTooLargeError(lengthBytes, maxUploadBytes);
    const isTooMuch =
      body !== null &&
      ((body.declaredBytes ?? 0) > (lengthBytes ?? maxUploadBytes) ||
        (lengthBytes === 0 && (await hasBytes(body, this.settings.idleBodyMs))));
    if (isTooMuch) throw new UploadSizeExceededError('that this request creates', lengthBytes ?? maxUploadBytes);
    if (body !== null || lengthBytes === 0) await this.#dependencies.evidence.assertHere();
    const writes = body !== null && lengthBytes !== 0;
    const newUpload = {
      uploadId: request.uploadId ?? randomUUID(),
      owner,
      objectKey: freshObjectKey(keyPrefix, owner, new Date()),
      protocol: 'tus' as const,
      lengthBytes,
      metadata,
      partBytes: choosePartBytes(lengthBytes, this.settings.partBytes, maxParts),
      state: lengthBytes === 0 ? ('completing' as const) : ('open' as const),
      writer: writes ? UploadLedger.freshToken() : null,
    };
    if (lengthBytes === 0) {
      return {
        upload: await this.#createEmpty(newUpload, request.stop),
        offsetBytes: body === null ? null : 0,
        failure: null,
      };
    }
    const createdAtMs = this.#dependencies.clock.now();
    const created = await this.#dependencies.catalog.create(newUpload);
    this.counters.created += 1;
    if (body === null || created.writer === null) return { upload: created, offsetBytes: null, failure: null };
    const relay = {
      find: (uploadId: string) => this.#find(uploadId),
      assertAlive: (upload: UploadRecord) => this.#assertAlive(upload),
      terminate: (uploadId: string) => this.terminate(uploadId),
    };
    try {
      const { upload, bodyEnd } = await this.#append({ upload: created, claimedAtMs: createdAtMs }, body);
      if (bodyEnd === 'cut' && upload.state === 'open') await endUnreachable(upload.uploadId, relay);
      return { upload, offsetBytes: upload.offsetBytes, failure: null };
    } catch (failure) {
      return { ...(await goOnAfter(failure, created, relay)), failure };
    }
  }

  /**
   * Stores what the body brings from the given offset on.
   *
   * @throws OffsetMismatchError, UploadNotFoundError, UploadGoneError, UploadSizeExceededError, InvalidUploadLengthError,
   * WriterFencedError, S3Error, UnavailableError
   */
  async append(request: AppendRequest): Promise<Appended> {
    const { declaredLengthBytes, body } = request;
    const { maxUploadBytes } = this.settings;
    if (declaredLengthBytes !== null && declaredLengthBytes > maxUploadBytes) {
      throw new UploadTooLargeError(declaredLengthBytes, maxUploadBytes);
    }
    await this.#dependencies.evidence.assertHere();
    const claimed = await this.#claim(request);
    if (claimed === null) return { upload: await this.#explainRefusedClaim(request), bodyEnd: 'complete' };
    return this.#append(claimed, body);
  }

  async #claim({ uploadId, offsetBytes, declaredLengthBytes, body }: AppendRequest): Promise<ClaimedUpload | null> {
    const { catalog, clock, isLockShared, calls } = this.#dependencies;
    const giveUpMs = clock.now() + SILENCE_WAIT_MS;
    for (;;) {
      const isShared = isLockShared();
      const claimedAtMs = clock.now();
      const upload = await catalog.claim({
        ...{ uploadId, offsetBytes, declaredLengthBytes, partsAhead: PARTS_AHEAD },
        token: UploadLedger.freshToken(),
        freshKeyName: randomUUID(),
        maxParts: this.settings.maxParts,
        onlyAfterSilenceSecs: isShared ? null : WRITER_SILENCE_SECS,
      });
      if (upload !== null) return { upload, claimedAtMs };
      if (isShared) return null;
      const found = await catalog.find(uploadId);
      const isHeld = found?.state === 'open' && found.writer !== null && found.offsetBytes === offsetBytes;
      if (!isHeld || found.overdue) return null;
      if (clock.now() >= giveUpMs) throw new UploadLockedError(uploadId);
      // Not asked to let go: what it stores when it is asked would make the offset wrong that this request has.
      if (calls === null) await clock.sleep(SILENCE_POLL_MS, body.stop);
      else await calls.freed(uploadId, SILENCE_POLL_MS, body.stop);
    }
  }

  /**
   * As {@link look}, for who wants to go on from there. A writer on another node, which no common lock has made let go,
   * is asked to: what it has is stored then, and the offset is the one that a next request will find.
   *
   * @throws UploadLockedError when it neither lets go nor falls silent
   */
  async lookToResume(uploadId: string, signal: AbortSignal): Promise<UploadRecord> {
    const { calls, clock, isLockShared } = this.#dependencies;
    const giveUpMs = clock.now() + SILENCE_WAIT_MS;
    for (;;) {
      const upload = await this.look(uploadId);
      const isWritten = upload.state === 'open' && !upload.writerSilent;
      if (!isWritten || isLockShared() || calls === null || !calls.connected) return upload;
      if (clock.now() >= giveUpMs) throw new UploadLockedError(uploadId);
      calls.askToLetGo(uploadId);
      await calls.freed(uploadId, SILENCE_POLL_MS, signal);
    }
  }

  /** What a HEAD may say. Tries to finish an upload that is completing, and waits for it. @throws UploadCompletingError */
  async look(uploadId: string): Promise<UploadRecord> {
    const upload = await this.#find(uploadId);
    this.#assertAlive(upload);
    if (upload.state === 'finished') return upload;
    await this.#dependencies.evidence.assertHere();
    if (upload.state !== 'completing') return upload;
    return this.#complete(upload);
  }

  /** Ends the upload in any state, and its file with it. @throws UploadNotFoundError, UploadGoneError */
  async terminate(uploadId: string): Promise<void> {
    const ended = await this.#dependencies.catalog.terminate(uploadId);
    if (ended === null) {
      this.#assertAlive(await this.#find(uploadId));
      throw new UploadNotFoundError(uploadId);
    }
    this.counters.terminated += 1;
    // A writer of it, if there is one: its next commit is refused, and it need not go on reading until then.
    if (!ended.hadFile && !this.#dependencies.isLockShared()) this.#dependencies.calls?.askToLetGo(uploadId);
    this.#dependencies.discards.kick();
  }

  async #createEmpty(newUpload: NewUpload, stop: AbortSignal | undefined): Promise<UploadRecord> {
    const { database, catalog, end } = this.#dependencies;
    await database.transaction(async (trx) => {
      await catalog.create(newUpload, trx);
      await end.enqueueCompletion(trx, newUpload.uploadId);
    });
    this.counters.created += 1;
    try {
      return await this.#completeFor(newUpload.uploadId, stop === undefined ? {} : { stop });
    } catch (error) {
      // To a client, the 201 of an empty upload says that it is done. It creates anew: a file that came of this one
      // after all would be there twice.
      await endUnreachable(newUpload.uploadId, this);
      throw stop?.aborted === true ? stop.reason : error;
    }
  }

  async #append({ upload: claimed, claimedAtMs }: ClaimedUpload, body: RequestBody): Promise<Appended> {
    const { database, catalog, clock, storage, evidence, end, discards, budget, tails, isLockShared } =
      this.#dependencies;
    const ledger = new UploadLedger(database, catalog, clock, claimed, claimedAtMs);
    const { lengthBytes, offsetBytes, partBytes } = claimed;
    if (lengthBytes !== null && offsetBytes + (body.declaredBytes ?? 0) > lengthBytes) {
      await ledger.letGo();
      throw new UploadSizeExceededError(claimed.uploadId, lengthBytes);
    }
    using reader = new BodyReader(body.source, this.settings.idleBodyMs, body.stop, body.early ?? null);
    let countedBytes = offsetBytes;
    let appended: AppendResult;
    const heartbeat = new Heartbeat(ledger, { isLockShared, uploadExpiresSecs: this.settings.uploadExpiresSecs });
    try {
      const tail = tailBytes(offsetBytes, partBytes) === 0 ? [] : await catalog.findTail(claimed.uploadId);
      appended = await appendToUpload(ledger, tail, reader, {
        ...{ storage, evidence, budget, tails, end },
        retry: this.#retryFor(body),
        maxUploadBytes: this.settings.maxUploadBytes,
        maxParts: this.settings.maxParts,
        tailTiers: this.settings.tailTiers,
        onCommitted: (upload) => {
          this.counters.committedBytes += upload.offsetBytes - countedBytes;
          countedBytes = upload.offsetBytes;
          this.#publishProgress(upload);
        },
      });
    } catch (error) {
      if (error instanceof UploadLostError) this.#dependencies.onLost(claimed.uploadId, error);
      throw error;
    } finally {
      await heartbeat.stop();
      // Should the catalog be away, the token stays: the next claim then treats this writer as one that may still send.
      await ledger.letGo().catch(() => {});
    }
    const { bodyEnd, discarded } = appended;
    const { upload } = ledger;
    const finished = upload.state === 'completing' ? await this.#completeFor(upload.uploadId, body) : upload;
    // The tail has served, and of a completed upload the copies of contested parts and what a takeover left behind.
    if (discarded || claimed.dirty) discards.kick();
    return { upload: finished, bodyEnd };
  }

  #retryFor({ stop, gone, ending }: RequestBody): S3Retry {
    const left = gone === undefined ? [stop] : [stop, gone];
    const limits = { callMs: this.settings.s3CallMs, left };
    return new S3Retry(this.#dependencies.clock, ending === undefined ? limits : { ...limits, ending });
  }

  /**
   * The upload's last byte is stored and committed. Waits for the object as long as a request may wait for S3, and no
   * longer than it is wanted: the completion itself goes on, it needs no request.
   *
   * @throws StorageSlowError, UploadCompletingError when a signal aborts, or what the completion throws
   */
  async #completeFor(uploadId: string, { stop, gone }: Partial<RequestBody>): Promise<UploadRecord> {
    const { completer, clock } = this.#dependencies;
    const limit = Promise.withResolvers<never>();
    const notWanted = () => limit.reject(new UploadCompletingError(uploadId));
    const callOff = clock.alarm(this.settings.s3CallMs, () => limit.reject(new StorageSlowError()));
    for (const signal of [stop, gone]) {
      if (signal?.aborted === true) notWanted();
      else signal?.addEventListener('abort', notWanted);
    }
    try {
      return await Promise.race([completer.complete(uploadId, true), limit.promise]);
    } finally {
      callOff();
      for (const signal of [stop, gone]) signal?.removeEventListener('abort', notWanted);
    }
  }

  #publishProgress(upload: UploadRecord): void {
    const { events } = this.#dependencies;
    const { uploadId, offsetBytes, lengthBytes } = upload;
    // Without its object the whole length is not to be named (V3): the completer says "finished" when it is there.
    if (upload.state === 'completing') return;
    events.publish({ type: 'progress', uploadId, offset: offsetBytes, length: lengthBytes });
    if (upload.state !== 'finished') return;
    this.counters.finished += 1;
    events.publish({ type: 'finished', fileId: uploadId });
  }

  async #find(uploadId: string): Promise<UploadRecord> {
    const upload = await this.#dependencies.catalog.find(uploadId);
    if (upload === null) throw new UploadNotFoundError(uploadId);
    return upload;
  }

  #assertAlive(upload: UploadRecord): void {
    const { uploadId, state } = upload;
    if (upload.overdue || state === 'expired') throw new UploadGoneError(uploadId, 'has expired');
    if (state === 'terminated') throw new UploadGoneError(uploadId, 'was terminated');
    if (state === 'lost') throw new UploadGoneError(uploadId, 'was removed by the storage');
    if (state === 'failed') throw new UploadGoneError(uploadId, 'was refused by the storage');
  }

  /** @returns the upload when the request repeats what is done already: its answer was lost on the way */
  async #explainRefusedClaim(request: AppendRequest): Promise<UploadRecord> {
    const { uploadId, offsetBytes, declaredLengthBytes, body } = request;
    const upload = await this.#find(uploadId);
    this.#assertAlive(upload);
    const { lengthBytes } = upload;
    if (upload.offsetBytes !== offsetBytes) {
      // Without its object the whole length is not to be named (V3).
      throw new OffsetMismatchError(uploadId, offsetBytes, upload.state === 'completing' ? null : upload.offsetBytes);
    }
    if (declaredLengthBytes !== null && declaredLengthBytes !== lengthBytes) {
      if (lengthBytes !== null) {
        throw new InvalidUploadLengthError(
          `the length of upload ${uploadId} is ${lengthBytes}, not ${declaredLengthBytes}`,
        );
      }
      if (declaredLengthBytes < offsetBytes) {
        throw new InvalidUploadLengthError(`${offsetBytes} bytes are stored already, more than ${declaredLengthBytes}`);
      }
      const possible = upload.partBytes * this.settings.maxParts;
      if (declaredLengthBytes > possible) throw new UploadTooLargeError(declaredLengthBytes, possible);
    }
    // Between the claim and this look another request may have moved on: the client asks again.
    if (upload.state === 'open') throw new OffsetMismatchError(uploadId, offsetBytes, upload.offsetBytes);
    // A chunked body says nothing of its length, and may be empty: then the request repeats the last one.
    if (await hasBytes(body, this.settings.idleBodyMs)) throw new UploadSizeExceededError(uploadId, upload.offsetBytes);
    return upload.state === 'completing' ? this.#complete(upload) : upload;
  }

  async #complete(upload: UploadRecord): Promise<UploadRecord> {
    const { completer, clock } = this.#dependencies;
    const waited = new AbortController();
    const tooLong = clock.sleep(COMPLETION_WAIT_MS, waited.signal).then(() => {
      throw new UploadCompletingError(upload.uploadId);
    });
    const completed = completer.complete(upload.uploadId).catch((error) => {
      if (error instanceof UploadGoneError) throw error;
      // Not "not found" and not a failure: the server goes on by itself, and tus-js-client asks again after a 423.
      throw new UploadCompletingError(upload.uploadId);
    });
    try {
      return await Promise.race([completed, tooLong]);
    } finally {
      waited.abort();
      tooLong.catch(() => {});
      completed.catch(() => {});
    }
  }
}
