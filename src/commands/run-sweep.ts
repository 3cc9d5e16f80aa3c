/**
 * Who sweeps: the server that holds the data folder, when there is one; else this process, which opens catalog and
 * storage as a server would. With Postgres and a bucket of the operator's own nothing is held, and both may sweep.
 */
import { askServer } from '../app/control-client.ts';
import { openCatalog } from '../app/open-catalog.ts';
import { openEvents } from '../app/open-shared.ts';
import { openStorage } from '../app/open-storage.ts';
import { sweepTiming } from '../app/relay-parts.ts';
import { createStorageEvidence } from '../app/storage-evidence.ts';
import { createSweepParts, type SweepReport, type SweepRequest } from '../app/sweep-parts.ts';
import type { DataDirLock } from '../catalog/data-dir-lock.ts';
import { DiscardCatalog } from '../catalog/discard-catalog.ts';
import type { Config, Secrets } from '../config.ts';
import type { Logger } from '../observability/logger.ts';
import { eventOfEnd } from '../pipeline/event-bus.ts';
import { createJobQueue } from '../pipeline/job-queue.ts';
import type { FoundItem, OnFound } from '../relay/deep-sweep-report.ts';
import { DiscardWorker } from '../relay/discard-worker.ts';
import { runWhereItBelongs } from './run-where-it-belongs.ts';

/**
 * @param onFound with `list`: called for each thing that a deep sweep finds
 * @throws StartError, UnavailableError: one sentence for the operator each
 */
export function sweepWhereItBelongs(
  config: Config,
  secrets: Secrets,
  request: SweepRequest,
  logger: Logger,
  signal: AbortSignal,
  onFound: OnFound = () => {},
): Promise<SweepReport> {
  return runWhereItBelongs(config, secrets, {
    ask: () => askServer<SweepReport, FoundItem>(config.dataDir, '/sweep', request, signal, onFound),
    runHere: (lock) => sweepHere(config, secrets, lock, request, logger, signal, onFound),
  });
}

async function sweepHere(
  config: Config,
  secrets: Secrets,
  lock: DataDirLock | null,
  request: SweepRequest,
  logger: Logger,
  signal: AbortSignal,
  onFound: OnFound = () => {},
): Promise<SweepReport> {
  await using opened = new AsyncDisposableStack();
  if (lock !== null) opened.defer(() => lock.release());
  const s3 = opened.adopt(await openStorage(onFreePort(config), secrets, logger), (it) => it.close());
  const database = opened.adopt(await openCatalog(secrets.databaseUrl, lock, config.startWaitSecs), (it) => it.close());
  const queue = opened.adopt(createJobQueue(database, { log: logger }), (it) => it.stop());
  if (!request.dryRun) await queue.start();
  // Whoever watches a server's page is told of what this process ends.
  const events = openEvents(secrets.databaseUrl, logger, opened);
  const { discardRecheckSecs, everyMs } = sweepTiming(config);
  const shared = { database, storage: s3.storage, keyPrefix: config.s3KeyPrefix, logger };
  const evidence = createStorageEvidence(shared);
  const discards = new DiscardWorker(new DiscardCatalog(database), s3.storage, evidence.canary, (error) =>
    logger.warn({ err: error }, 'an object that is not needed any more could not be removed'),
  );
  const { runSweep } = createSweepParts({
    ...{ ...shared, ...evidence, queue, discards, discardRecheckSecs, everyMs },
    onAdopted: ({ uploadId }) => events.publish({ type: 'finished', fileId: uploadId }),
    onEnded: (ended) => events.publish(eventOfEnd(ended)),
  });
  return await runSweep(request, signal, request.list ? onFound : undefined);
}

/** Nobody but this process is going to ask the embedded S3. */
function onFreePort(config: Config): Config {
  return config.s3.kind === 'embedded' ? { ...config, s3: { ...config.s3, port: 0 } } : config;
}
