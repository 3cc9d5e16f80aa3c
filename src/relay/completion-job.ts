import type { Trx } from '../catalog/database.ts';
import type { UploadCatalogPort } from '../catalog/upload-catalog.ts';
import type { JobEnqueuer } from '../pipeline/job-queue.ts';
import { type JobData, QUEUES } from '../pipeline/queues.ts';
import { S3Error } from '../s3/s3-errors.ts';
import type { UploadCompleter } from './complete-upload.ts';
import { CompletionMissingError, UploadGoneError } from './relay-errors.ts';
import type { StorageEvidence } from './storage-canary.ts';

/** The request that stored the last byte completes the upload itself; the job comes in when it could not. */
const FIRST_TRY_AFTER_SECS = 15;
/** Longer than any CompleteMultipartUpload (a call ends after 600 s): "absent" twice this far apart is no late Complete. */
const LONGEST_COMPLETE_SECS = 660;
/** What no repetition changes: the parts are not such as this service puts together. */
const REFUSED_FOR_GOOD = new Set(['EntityTooSmall', 'EntityTooLarge', 'InvalidPartOrder', 'MalformedXML']);

/** In the transaction of the commit that stored the last byte. */
export function enqueueCompletion(queue: JobEnqueuer, trx: Trx, uploadId: string, afterSecs = FIRST_TRY_AFTER_SECS) {
  return queue.enqueue(trx, QUEUES.uploadCompletion, { uploadId }, { startAfterSecs: afterSecs });
}

export interface CompletionJobDependencies {
  completer: Pick<UploadCompleter, 'completeAndRepair'>;
  catalog: Pick<UploadCatalogPort, 'giveUpCompleting' | 'noteCompletionTrouble'>;
  evidence: Pick<StorageEvidence, 'demand'>;
  /** COMPLETION_REFUSED_SECS: a completion that S3 has refused for so long is given up. */
  giveUpRefusedSecs: number;
  /** Called when the upload has ended without an object: somebody has to know. */
  onGivenUp?: (uploadId: string, state: 'lost' | 'failed', error: Error) => void;
}

/** What throws is tried again by the queue, with back-off and without end. */
export async function runCompletionJob(
  { uploadId }: JobData['upload-completion'],
  dependencies: CompletionJobDependencies,
): Promise<void> {
  try {
    await dependencies.completer.completeAndRepair(uploadId);
  } catch (error) {
    if (error instanceof UploadGoneError) return;
    const state = await verdictOn(uploadId, error, dependencies);
    if (state === null) throw error;
    const { catalog, onGivenUp } = dependencies;
    if (await catalog.giveUpCompleting(uploadId, state)) onGivenUp?.(uploadId, state, error as Error);
  }
}

/** @returns what the upload has become; null: the completion is to be tried again */
async function verdictOn(
  uploadId: string,
  error: unknown,
  { catalog, evidence, giveUpRefusedSecs }: CompletionJobDependencies,
): Promise<'lost' | 'failed' | null> {
  if (error instanceof CompletionMissingError) {
    // Before it is noted: what another storage lacks says nothing about ours.
    await evidence.demand();
    const missingSecs = await catalog.noteCompletionTrouble(uploadId, 'missing');
    return missingSecs !== null && missingSecs >= LONGEST_COMPLETE_SECS ? 'lost' : null;
  }
  if (!(error instanceof S3Error) || error.outcome !== 'refused' || error.retryable) return null;
  await evidence.demand();
  if (REFUSED_FOR_GOOD.has(error.s3Code)) return 'failed';
  const refusedSecs = await catalog.noteCompletionTrouble(uploadId, 'refused');
  return refusedSecs !== null && refusedSecs >= giveUpRefusedSecs ? 'failed' : null;
}
