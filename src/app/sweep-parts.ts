/** What sweeps, put together: for the server's own turns, for whoever asks a server, and for the command on its own. */
import type { Database } from '../catalog/database.ts';
import { ExpiryCatalog } from '../catalog/expiry-catalog.ts';
import { SweepCatalog } from '../catalog/sweep-catalog.ts';
import type { EndedUpload } from '../catalog/upload-catalog.ts';
import type { UploadRecord } from '../catalog/upload-record.ts';
import type { Logger } from '../observability/logger.ts';
import { recordFinished } from '../pipeline/finish.ts';
import type { JobQueue } from '../pipeline/job-queue.ts';
import type { BucketMarker } from '../relay/bucket-marker.ts';
import { DeepSweeper, type DeepSweepReport } from '../relay/deep-sweep.ts';
import type { DiscardWorker } from '../relay/discard-worker.ts';
import { UploadExpirer } from '../relay/expire-uploads.ts';
import type { StorageCanary } from '../relay/storage-canary.ts';
import { nothingSwept, type SweepCounts, Sweeper } from '../relay/sweep.ts';
import type { MultipartPrefixLister, ObjectStorage } from '../s3/object-storage.ts';

export interface SweepRequest {
  /** Changes nothing, and says what there is to do. */
  dryRun: boolean;
  /** Lists the whole prefix, too. */
  deep: boolean;
  /** Only with `deep`: takes the bucket over for this catalog. */
  adopt: boolean;
}

export interface SweepReport {
  request: SweepRequest;
  /** Done, or to do when it was a dry run. */
  counts: SweepCounts;
  /** null without `deep`. */
  deep: DeepSweepReport | null;
  /** A sentence for each step that did not come to its end. */
  failures: string[];
}

/** Ends early, with what was done until then, when the signal says so. Never rejects. */
export type RunSweep = (request: SweepRequest, signal?: AbortSignal) => Promise<SweepReport>;

export interface SweepParts {
  readonly sweeper: Sweeper;
  readonly runSweep: RunSweep;
}

export interface SweepDependencies {
  database: Database;
  storage: ObjectStorage & MultipartPrefixLister;
  queue: JobQueue;
  discards: DiscardWorker;
  marker: BucketMarker;
  canary: StorageCanary;
  keyPrefix: string;
  discardRecheckSecs: number;
  everyMs: number;
  logger: Logger;
  /** Called when an upload that was to expire has been finished, since its object was there. */
  onAdopted: (upload: UploadRecord) => void;
  /** Called when an upload has expired. */
  onEnded: (ended: EndedUpload) => void;
}

export function createSweepParts(dependencies: SweepDependencies): SweepParts {
  const { database, storage, queue, discards, marker, canary, keyPrefix, discardRecheckSecs, everyMs, logger } =
    dependencies;
  const { onEnded } = dependencies;
  const sweeps = new SweepCatalog(database);
  const expirer = new UploadExpirer({
    ...{ database, storage },
    evidence: canary,
    expiry: new ExpiryCatalog(database, { discardRecheckSecs, onEnded }),
    end: { recordFinished: (trx, upload) => recordFinished(trx, queue, upload) },
    onAdopted: (upload) => {
      const { uploadId, objectKey } = upload;
      logger.warn(
        { uploadId, objectKey },
        'an upload was to expire, but its whole object is there: it is finished now',
      );
      dependencies.onAdopted(upload);
    },
  });
  const sweeper = new Sweeper(
    {
      ...{ database, expirer, sweeps, queue, discards, marker, canary },
      onFailure: (error) =>
        logger.warn({ err: error }, 'the sweeper could not do all of its work; it goes on at its next turn'),
      onSwept: (counts) => logger.debug({ ...counts }, 'swept'),
    },
    everyMs,
  );
  const deepSweeper = new DeepSweeper({ sweeps, marker, canary, storage, discards, keyPrefix, now: Date.now });

  async function runSweep(request: SweepRequest, signal?: AbortSignal): Promise<SweepReport> {
    const report: SweepReport = { request, counts: nothingSwept(), deep: null, failures: [] };
    try {
      if (request.dryRun) {
        report.counts = { ...(await sweeps.countDue()), adopted: 0 };
      } else {
        await discards.makeAllDue();
        const { counts, failures } = await sweeper.sweepToTheEnd(signal);
        report.counts = counts;
        report.failures.push(...failures.map((failure) => failure.message));
      }
      if (request.deep) report.deep = await deepSweeper.sweep(request, signal);
    } catch (error) {
      report.failures.push(error instanceof Error ? error.message : String(error));
    }
    if (signal?.aborted) report.failures.push('interrupted: what was left is found by the next sweep');
    return report;
  }

  return { sweeper, runSweep };
}
