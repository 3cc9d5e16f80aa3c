/** The relay and the jobs behind it, put together: everything between the HTTP edge and the two stores. */
import { join } from 'node:path';
import type { Database } from '../catalog/database.ts';
import { DiscardCatalog } from '../catalog/discard-catalog.ts';
import { FileCatalog } from '../catalog/file-catalog.ts';
import { type EndedUpload, UploadCatalog } from '../catalog/upload-catalog.ts';
import type { UploadRecord } from '../catalog/upload-record.ts';
import type { Config } from '../config.ts';
import type { NodeLocker } from '../locks/upload-locker.ts';
import type { Logger } from '../observability/logger.ts';
import { type EventBus, eventOfEnd } from '../pipeline/event-bus.ts';
import { fileOf, recordFinished } from '../pipeline/finish.ts';
import type { JobQueue } from '../pipeline/job-queue.ts';
import { MachineLock } from '../pipeline/machine-lock.ts';
import { QUEUES } from '../pipeline/queues.ts';
import {
  runLargeThumbnailJob,
  runThumbnailFailedJob,
  runThumbnailJob,
  type ThumbnailJobParts,
} from '../pipeline/thumbnail-job.ts';
import type { ThumbnailMaker } from '../pipeline/thumbnail-maker.ts';
import { systemClock } from '../relay/clock.ts';
import { UploadCompleter } from '../relay/complete-upload.ts';
import { enqueueCompletion, runCompletionJob } from '../relay/completion-job.ts';
import { DiscardWorker } from '../relay/discard-worker.ts';
import { evidentReads } from '../relay/evident-reads.ts';
import type { MemoryBudget } from '../relay/memory-budget.ts';
import type { StorageCanary } from '../relay/storage-canary.ts';
import type { Sweeper } from '../relay/sweep.ts';
import { TailMemory } from '../relay/tail-memory.ts';
import { TAIL_TIERS } from '../relay/tail-tiers.ts';
import type { EndOfBytes } from '../relay/upload-ledger.ts';
import { UploadRelay } from '../relay/upload-relay.ts';
import type { MultipartPrefixLister, ObjectStorage } from '../s3/object-storage.ts';
import { createOperations, type Operations } from './operations.ts';
import { createStorageEvidence } from './storage-evidence.ts';
import { createSweepParts, type RunSweep } from './sweep-parts.ts';

export interface SweepTiming {
  /** Longer than S3 accepts a signed request plus the longest call: no late request can bring back what is gone then. */
  discardRecheckSecs: number;
  everyMs: number;
}

const SWEEP_EVERY_MS = 30_000;

export function sweepTiming({ discardRecheckSecs }: Pick<Config, 'discardRecheckSecs'>): SweepTiming {
  return { discardRecheckSecs, everyMs: SWEEP_EVERY_MS };
}

const COMPLETIONS_AT_A_TIME = 4;
/** Small images: decoding takes memory, and a core. */
const THUMBNAILS_AT_A_TIME = 2;

export interface RelayParts {
  readonly relay: UploadRelay;
  readonly files: FileCatalog;
  readonly sweeper: Sweeper;
  readonly runSweep: RunSweep;
  readonly operations: Operations;
  readonly discards: DiscardWorker;
  readonly canary: StorageCanary;
  /** Begins with the background work of this node. */
  startJobs(): Promise<void>;
}

/** What the relay works with, opened by whoever composes the server. */
export interface OpenedParts {
  readonly database: Database;
  readonly storage: ObjectStorage & MultipartPrefixLister;
  readonly queue: JobQueue;
  readonly events: EventBus;
  readonly budget: MemoryBudget;
  readonly maker: ThumbnailMaker;
  readonly locker: Pick<NodeLocker, 'shared' | 'calls'>;
  readonly logger: Logger;
}

export function createRelayParts(
  config: Config,
  { database, storage, queue, events, budget, maker, locker, logger }: OpenedParts,
  { discardRecheckSecs, everyMs }: SweepTiming,
): RelayParts {
  const catalog = new UploadCatalog(database, {
    uploadExpiresSecs: config.uploadExpiresSecs,
    discardRecheckSecs,
    onTakeover: ({ uploadId, silentSecs }) => {
      relay.counters.takeovers += 1;
      const silentFor = silentSecs === null ? null : Math.round(silentSecs * 10) / 10;
      logger.warn(
        { uploadId, silentSecs: silentFor },
        'an upload is taken over from a writer that has not let go of it',
      );
    },
    onEnded,
  });
  const files = new FileCatalog(database, { discardRecheckSecs });
  const { marker, canary } = createStorageEvidence({ database, storage, logger, keyPrefix: config.s3KeyPrefix });
  const discards = new DiscardWorker(new DiscardCatalog(database), storage, canary, (error) =>
    logger.warn({ err: error }, 'what is not needed any more could not all be removed; the sweeper tries again'),
  );
  const end: EndOfBytes = {
    fileOf,
    recordFinished: (trx, upload) => recordFinished(trx, queue, upload),
    enqueueCompletion: (trx, uploadId) => enqueueCompletion(queue, trx, uploadId),
  };
  function onEnded(ended: EndedUpload): void {
    events.publish(eventOfEnd(ended));
  }
  function onFinished({ uploadId }: UploadRecord): void {
    relay.counters.finished += 1;
    events.publish({ type: 'finished', fileId: uploadId });
  }
  const completer = new UploadCompleter({
    ...{ database, catalog, storage, end, onFinished },
    evidence: canary,
    clock: systemClock,
    onRepaired: ({ uploadId }, partNumbers) =>
      logger.warn({ uploadId, partNumbers }, 'parts that a late request had overwritten were restored'),
  });
  const relay = new UploadRelay(
    {
      maxUploadBytes: config.maxUploadBytes,
      partBytes: config.partBytes,
      maxParts: config.s3MaxParts,
      tailTiers: TAIL_TIERS,
      idleBodyMs: config.idleBodySecs * 1_000,
      s3CallMs: config.s3CallSecs * 1_000,
      keyPrefix: config.s3KeyPrefix,
      uploadExpiresSecs: config.uploadExpiresSecs,
    },
    {
      ...{ database, catalog, storage, completer, discards, events, end, budget },
      clock: systemClock,
      evidence: canary,
      tails: new TailMemory(budget),
      isLockShared: () => locker.shared,
      calls: locker.calls,
      onLost: (uploadId, error) => onGivenUp(uploadId, 'lost', error),
    },
  );
  const { sweeper, runSweep } = createSweepParts({
    ...{ database, storage, queue, discards, marker, canary, discardRecheckSecs, everyMs, logger },
    keyPrefix: config.s3KeyPrefix,
    onAdopted: onFinished,
    onEnded,
  });

  function onGivenUp(uploadId: string, state: 'lost' | 'failed', error: Error): void {
    relay.counters[state] += 1;
    logger.error({ err: error, uploadId, state }, 'an upload has ended without an object');
  }

  async function startJobs(): Promise<void> {
    await queue.work(QUEUES.uploadCompletion, { concurrency: COMPLETIONS_AT_A_TIME }, ({ data }) =>
      runCompletionJob(data, {
        ...{ completer, catalog, onGivenUp },
        evidence: canary,
        giveUpRefusedSecs: config.completionRefusedSecs,
      }),
    );
    const thumbnails: ThumbnailJobParts = {
      ...{ files, maker, events },
      storage: { ...evidentReads(storage, canary), putObject: storage.putObject },
      imageBytes: config.imageBytes,
      largeImageLock: new MachineLock(join(config.spillDir, 'large-image.lock')),
      enqueueLarge: (fileId) => queue.enqueue(database.db, QUEUES.largeThumbnail, { fileId }),
      kickDiscards: () => discards.kick(),
    };
    await queue.work(QUEUES.thumbnail, { concurrency: THUMBNAILS_AT_A_TIME }, (job) =>
      runThumbnailJob(job, thumbnails),
    );
    await queue.work(QUEUES.largeThumbnail, { concurrency: 1 }, (job) => runLargeThumbnailJob(job, thumbnails));
    await queue.work(QUEUES.thumbnailFailed, { concurrency: 1 }, (job) => runThumbnailFailedJob(job, thumbnails));
    sweeper.start();
  }

  const operations = createOperations({ database, queue, catalog, kickDiscards: () => discards.kick() });

  return { relay, files, sweeper, runSweep, operations, discards, canary, startJobs };
}
