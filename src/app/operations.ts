/**
 * What an operator does with uploads and jobs: the same for a server that is asked, and for a command on its own. Each
 * request has a schema, since it may come over the control socket.
 */
import { z } from 'zod';
import type { Database } from '../catalog/database.ts';
import { OperatorCatalog, type UploadSummary } from '../catalog/operator-catalog.ts';
import type { UploadCatalog } from '../catalog/upload-catalog.ts';
import { JobAdmin, type JobSummary } from '../pipeline/job-admin.ts';
import type { JobEnqueuer } from '../pipeline/job-queue.ts';
import { QUEUES } from '../pipeline/queues.ts';
import { enqueueCompletion } from '../relay/completion-job.ts';

const LIMIT = z.number().int().min(1).max(10_000);
const FILTERS = [
  ...(['attention', 'all', 'open', 'completing', 'finished', 'terminated', 'expired', 'lost', 'failed'] as const),
] as const;

export const UPLOADS_REQUEST = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('list'), filter: z.enum(FILTERS), limit: LIMIT }),
  z.strictObject({ action: z.literal('show'), uploadId: z.uuid() }),
  z.strictObject({ action: z.literal('end'), uploadId: z.uuid() }),
  z.strictObject({ action: z.literal('retry'), uploadId: z.uuid() }),
  z.strictObject({ action: z.literal('acknowledge'), uploadIds: z.array(z.uuid()).min(1).max(1_000).nullable() }),
]);

export const JOBS_REQUEST = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('list'), queue: z.enum(QUEUES).nullable(), limit: LIMIT }),
  z.strictObject({ action: z.literal('retry'), jobId: z.uuid() }),
  z.strictObject({ action: z.literal('discard'), jobId: z.uuid() }),
]);

export type UploadsRequest = z.infer<typeof UPLOADS_REQUEST>;
export type JobsRequest = z.infer<typeof JOBS_REQUEST>;

/** `problem`: a sentence when what was asked for was not done. */
export interface UploadsReport {
  uploads: UploadSummary[];
  /** How many were changed. */
  changed: number;
  problem: string | null;
}

export interface JobsReport {
  jobs: JobSummary[];
  changed: number;
  problem: string | null;
}

export interface Operations {
  runUploads(request: UploadsRequest): Promise<UploadsReport>;
  runJobs(request: JobsRequest): Promise<JobsReport>;
}

export interface OperationsDependencies {
  database: Database;
  queue: JobEnqueuer;
  catalog: Pick<UploadCatalog, 'terminate'>;
  /** Called when an upload was ended: its leftovers can be removed. */
  kickDiscards: () => void;
}

export function createOperations({ database, queue, catalog, kickDiscards }: OperationsDependencies): Operations {
  const operator = new OperatorCatalog(database);
  const jobs = new JobAdmin(database);

  async function runUploads(request: UploadsRequest): Promise<UploadsReport> {
    if (request.action === 'list') return found(await operator.list(request.filter, request.limit));
    if (request.action === 'acknowledge') return changed(await operator.acknowledge(request.uploadIds));
    const upload = await operator.find(request.uploadId);
    if (upload === null) return refused(`there is no upload ${request.uploadId}`);
    if (request.action === 'show') return found([upload]);
    return request.action === 'end' ? end(upload) : retry(upload);
  }

  async function end({ uploadId, state }: UploadSummary): Promise<UploadsReport> {
    if (state === 'finished') return refused(`upload ${uploadId} is a file: delete it as one, DELETE /api/files/{id}`);
    if ((await catalog.terminate(uploadId)) === null) return refused(`upload ${uploadId} has ended already: ${state}`);
    kickDiscards();
    return changed(1);
  }

  async function retry({ uploadId, state }: UploadSummary): Promise<UploadsReport> {
    if (state !== 'completing') {
      return refused(`upload ${uploadId} is ${state}: only a completion can be tried again`);
    }
    // One job an upload: the one that is there runs earlier, or there is a new one.
    if (!(await jobs.hurry(QUEUES.uploadCompletion, uploadId))) {
      await database.transaction((trx) => enqueueCompletion(queue, trx, uploadId, 0));
    }
    return changed(1);
  }

  async function runJobs(request: JobsRequest): Promise<JobsReport> {
    if (request.action === 'list') {
      return { jobs: await jobs.list(request.queue, request.limit), changed: 0, problem: null };
    }
    const done = await (request.action === 'retry' ? jobs.retry(request.jobId) : jobs.discard(request.jobId));
    const problem = done
      ? null
      : `there is no job ${request.jobId} that could be changed: it is done, or running, or another one about the same ` +
        'upload or file has taken its place';
    return { jobs: [], changed: done ? 1 : 0, problem };
  }

  return { runUploads, runJobs };
}

function found(uploads: UploadSummary[]): UploadsReport {
  return { uploads, changed: 0, problem: null };
}

function changed(count: number): UploadsReport {
  return { uploads: [], changed: count, problem: null };
}

function refused(problem: string): UploadsReport {
  return { uploads: [], changed: 0, problem };
}
