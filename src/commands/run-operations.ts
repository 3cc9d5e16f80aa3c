/** `npm run uploads` and `npm run jobs` where they belong: see run-where-it-belongs.ts. */
import { askServer } from '../app/control-client.ts';
import { openCatalog } from '../app/open-catalog.ts';
import { openEvents } from '../app/open-shared.ts';
import {
  createOperations,
  type JobsReport,
  type JobsRequest,
  type Operations,
  type UploadsReport,
  type UploadsRequest,
} from '../app/operations.ts';
import type { DataDirLock } from '../catalog/data-dir-lock.ts';
import { UploadCatalog } from '../catalog/upload-catalog.ts';
import type { Config, Secrets } from '../config.ts';
import type { Logger } from '../observability/logger.ts';
import { eventOfEnd } from '../pipeline/event-bus.ts';
import { createJobQueue } from '../pipeline/job-queue.ts';
import { runWhereItBelongs } from './run-where-it-belongs.ts';

export interface CommandSurroundings {
  config: Config;
  secrets: Secrets;
  logger: Logger;
  signal: AbortSignal;
}

/** @throws StartError, UnavailableError: one sentence for the operator each */
export function runUploadsWhereItBelongs(
  surroundings: CommandSurroundings,
  request: UploadsRequest,
): Promise<UploadsReport> {
  const { config, secrets, signal } = surroundings;
  return runWhereItBelongs(config, secrets, {
    ask: () => askServer<UploadsReport>(config.dataDir, '/uploads', request, signal),
    runHere: (lock) => withOperations(surroundings, lock, (operations) => operations.runUploads(request)),
  });
}

/** @throws StartError, UnavailableError: one sentence for the operator each */
export function runJobsWhereItBelongs(surroundings: CommandSurroundings, request: JobsRequest): Promise<JobsReport> {
  const { config, secrets, signal } = surroundings;
  return runWhereItBelongs(config, secrets, {
    ask: () => askServer<JobsReport>(config.dataDir, '/jobs', request, signal),
    runHere: (lock) => withOperations(surroundings, lock, (operations) => operations.runJobs(request)),
  });
}

async function withOperations<Report>(
  { config, secrets, logger }: CommandSurroundings,
  lock: DataDirLock | null,
  work: (operations: Operations) => Promise<Report>,
): Promise<Report> {
  await using opened = new AsyncDisposableStack();
  if (lock !== null) opened.defer(() => lock.release());
  const database = opened.adopt(await openCatalog(secrets.databaseUrl, lock, config.startWaitSecs), (it) => it.close());
  const queue = opened.adopt(createJobQueue(database, { log: logger }), (it) => it.stop());
  await queue.start();
  // Whoever watches a server's page is told of what this process ends.
  const events = openEvents(secrets.databaseUrl, logger, opened);
  const catalog = new UploadCatalog(database, {
    uploadExpiresSecs: config.uploadExpiresSecs,
    discardRecheckSecs: config.discardRecheckSecs,
    onEnded: (ended) => events.publish(eventOfEnd(ended)),
  });
  // What an upload leaves in the bucket is the servers' to remove: their sweepers come by twice a minute.
  return await work(createOperations({ database, queue, catalog, kickDiscards: () => {} }));
}
