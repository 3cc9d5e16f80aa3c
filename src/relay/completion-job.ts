import type { Database, Trx } from '../catalog/database.ts';
import type { UploadCatalogPort } from '../catalog/upload-catalog.ts';
import type { JobEnqueuer } from '../pipeline/job-queue.ts';
import { type JobData, QUEUES } from '../pipeline/queues.ts';
import { CompletionMissingError, type UploadCompleter } from './complete-upload.ts';
import { UploadGoneError } from './relay-errors.ts';

/** The request that stored the last byte completes the upload itself; the job comes in when it could not. */
const FIRST_TRY_AFTER_SECS = 15;
/** Longer than any CompleteMultipartUpload: "absent" said twice this far apart is no Complete that is still at work. */
const LONGEST_COMPLETE_SECS = 300;

/** In the transaction of the commit that stored the last byte. */
export function enqueueCompletion(queue: JobEnqueuer, trx: Trx, uploadId: string, afterSecs = FIRST_TRY_AFTER_SECS) {
  return queue.enqueue(trx, QUEUES.completeUpload, { uploadId }, { startAfterSecs: afterSecs });
}

/** What throws is tried again by the queue, with back-off and without end. */
export async function runCompletionJob(
  job: JobData['complete-upload'],
  completer: UploadCompleter,
  catalog: UploadCatalogPort,
  database: Database,
  queue: JobEnqueuer,
): Promise<void> {
  try {
    await completer.complete(job.uploadId);
  } catch (error) {
    if (error instanceof UploadGoneError) return;
    if (!(error instanceof CompletionMissingError)) throw error;
    if (job.missedBefore === true) {
      await catalog.markLost(job.uploadId);
      return;
    }
    await database.transaction((trx) =>
      queue.enqueue(
        trx,
        QUEUES.completeUpload,
        { ...job, missedBefore: true },
        {
          startAfterSecs: LONGEST_COMPLETE_SECS,
        },
      ),
    );
  }
}
