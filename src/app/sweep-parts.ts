/** What sweeps, put together: for the server's own turns, for whoever asks a server, and for the command on its own. */
import { AdoptionCatalog } from '../catalog/adoption-catalog.ts';
import type { Database } from '../catalog/database.ts';
import { ExpiryCatalog } from '../catalog/expiry-catalog.ts';
import { SweepCatalog } from '../catalog/sweep-catalog.ts';
import type { EndedUpload } from '../catalog/upload-catalog.ts';
import type { UploadRecord } from '../catalog/upload-record.ts';
import type { Logger } from '../observability/logger.ts';
import { recordFinished } from '../pipeline/finish.ts';
import type { JobQueue } from '../pipeline/job-queue.ts';
import { ObjectAdopter } from '../relay/adopt-objects.ts';
import type { BucketMarker } from '../relay/bucket-marker.ts';
import { DeepSweeper } from '../relay/deep-sweep.ts';
import type { DeepSweepReport, OnFound } from '../relay/deep-sweep-report.ts';
import type { DiscardWorker } from '../relay/discard-worker.ts';
import { UploadExpirer } from '../relay/expire-uploads.ts';
import type { StorageCanary } from '../relay/storage-canary.ts';
import { nothingSwept, type SweepCounts, Sweeper } from '../relay/sweep.ts';
import type { EndOfBytes } from '../relay/upload-ledger.ts';
import type { MultipartPrefixLister, ObjectStorage } from '../s3/object-storage.ts';

export interface SweepRequest {
  /** Changes nothing, and says what there is to do. */
  dryRun: boolean;
  /** Lists the whole prefix, too. */
  deep: boolean;
  /** Only with `deep`: takes the bucket over for this catalog. */
  adopt: boolean;
  /** Only with `deep`: whoever asks is told of everything that is found, one by one. */
  list: boolean;
  /** Only with `deep`: asks S3 for the object of every file, too. */
  verify: boolean;
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

/**
 * Ends early, with what was done until then, when the signal says so. Never rejects.
 *
 * @param onFound called for each thing that a deep sweep finds
 */
export type RunSweep = (request: SweepRequest, signal?: AbortSignal, onFound?: OnFound) => Promise<SweepReport>;

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
  const end: Pick<EndOfBytes, 'recordFinished'> = {
    recordFinished: (trx, upload) => recordFinished(trx, queue, upload),
  };
  const expirer = new UploadExpirer({
    ...{ database, storage, end },
    evidence: canary,
    expiry: new ExpiryCatalog(database, { discardRecheckSecs, onEnded }),
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
  const adopter = new ObjectAdopter({
    ...{ database, storage, end },
    adoptions: new AdoptionCatalog(database, { discardRecheckSecs }),
    onAdopted: (upload) => {
      const { uploadId, objectKey } = upload;
      logger.info({ uploadId, objectKey }, 'a finished object without a record has one now');
      dependencies.onAdopted(upload);
    },
  });
  const deepSweeper = new DeepSweeper({ sweeps, adopter, marker, canary, storage, discards, keyPrefix, now: Date.now });

  /** Where no server has run yet nothing tells whose bucket it is. What is wrong with it shows in the steps. */
  async function keepEvidence(signal?: AbortSignal): Promise<void> {
    const options = signal === undefined ? {} : { signal };
    await marker.keep(options).catch(() => {});
    await canary.keep(options).catch(() => {});
  }

  async function runSweep(request: SweepRequest, signal?: AbortSignal, onFound?: OnFound): Promise<SweepReport> {
    const report: SweepReport = { request, counts: nothingSwept(), deep: null, failures: [] };
    const sweepDeeply = async () => {
      report.deep = await deepSweeper.sweep(request, onFound, signal);
    };
    // The operator's word comes before what is done on the strength of it: after a restore nothing expires without.
    const adoptsFirst = request.adopt && !request.dryRun;
    try {
      if (adoptsFirst) await sweepDeeply();
      if (request.dryRun) {
        report.counts = { ...(await sweeps.countDue()), adopted: 0 };
      } else {
        await keepEvidence(signal);
        await discards.makeAllDue();
        const { counts, failures } = await sweeper.sweepToTheEnd(signal);
        report.counts = counts;
        report.failures.push(...failures.map((failure) => failure.message));
      }
      if (request.deep && !adoptsFirst) await sweepDeeply();
    } catch (error) {
      report.failures.push(error instanceof Error ? error.message : String(error));
    }
    if (signal?.aborted) report.failures.push('interrupted: what was left is found by the next sweep');
    return report;
  }

  return { sweeper, runSweep };
}
