import type { Database, Trx } from '../catalog/database.ts';
import type { UploadCatalogPort } from '../catalog/upload-catalog.ts';
import type { JobEnqueuer } from '../pipeline/job-queue.ts';
import { type JobData, QUEUES } from '../pipeline/queues.ts';
import { S3Error } from '../s3/s3-errors.ts';
import type { UploadCompleter } from './complete-upload.ts';
import { CompletionMissingError, UploadGoneError } from './relay-errors.ts';

/** The request that stored the last byte completes the upload itself; the job comes in when it could not. */
const FIRST_TRY_AFTER_SECS = 15;
/** Longer than any CompleteMultipartUpload (a call ends after 600 s): "absent" twice this far apart is no late Complete. */
const LONGEST_COMPLETE_SECS = 660;
/** What no repetition changes: the parts are not such as this service puts together. */
const REFUSED_FOR_GOOD = new Set(['EntityTooSmall', 'EntityTooLarge', 'InvalidPartOrder', 'MalformedXML']);

/** In the transaction of the commit that stored the last byte. */
export function enqueueCompletion(queue: JobEnqueuer, trx: Trx, uploadId: string, afterSecs = FIRST_TRY_AFTER_SECS) {
  return queue.enqueue(trx, QUEUES.completeUpload, { uploadId }, { startAfterSecs: afterSecs });
}

export interface CompletionJobDependencies {
  completer: Pick<UploadCompleter, 'completeAndRepair'>;
  catalog: Pick<UploadCatalogPort, 'giveUpCompleting'>;
  database: Database;
  queue: JobEnqueuer;
  /** Called when the upload has ended without an object: somebody has to know. */
  onGivenUp?: (uploadId: string, state: 'lost' | 'failed', error: Error) => void;
}

/** What throws is tried again by the queue, with back-off and without end. */
export async function runCompletionJob(
  job: JobData['complete-upload'],
  dependencies: CompletionJobDependencies,
): Promise<void> {
  const { completer, database, queue } = dependencies;
  try {
    await completer.completeAndRepair(job.uploadId);
  } catch (error) {
    if (error instanceof UploadGoneError) return;
    if (error instanceof S3Error && error.outcome === 'refused' && REFUSED_FOR_GOOD.has(error.s3Code)) {
      await giveUp(job.uploadId, 'failed', error, dependencies);
    } else if (!(error instanceof CompletionMissingError)) {
      throw error;
    } else if (job.missedBefore === true) {
      await giveUp(job.uploadId, 'lost', error, dependencies);
    } else {
      const again = { ...job, missedBefore: true };
      const options = { startAfterSecs: LONGEST_COMPLETE_SECS };
      await database.transaction((trx) => queue.enqueue(trx, QUEUES.completeUpload, again, options));
    }
  }
}

async function giveUp(
  uploadId: string,
  state: 'lost' | 'failed',
  error: Error,
  { catalog, onGivenUp }: CompletionJobDependencies,
): Promise<void> {
  if (await catalog.giveUpCompleting(uploadId, state)) onGivenUp?.(uploadId, state, error);
}
