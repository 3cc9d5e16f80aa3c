/**
 * Who sweeps: the server that holds the data folder, when there is one; else this process, which opens catalog and
 * storage as a server would. With Postgres and a bucket of the operator's own nothing is held, and both may sweep.
 */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { askServerToSweep } from '../app/control-client.ts';
import { openCatalog } from '../app/open-catalog.ts';
import { openEvents } from '../app/open-shared.ts';
import { openStorage } from '../app/open-storage.ts';
import { SWEEP_TIMING } from '../app/relay-parts.ts';
import { createStorageEvidence } from '../app/storage-evidence.ts';
import { createSweepParts, type SweepReport, type SweepRequest } from '../app/sweep-parts.ts';
import { DataDirInUseError, type DataDirLock, lockDataDir } from '../catalog/data-dir-lock.ts';
import { DiscardCatalog } from '../catalog/discard-catalog.ts';
import type { Config, Secrets } from '../config.ts';
import { StartError } from '../errors.ts';
import type { Logger } from '../observability/logger.ts';
import { eventOfEnd } from '../pipeline/event-bus.ts';
import { createJobQueue } from '../pipeline/job-queue.ts';
import type { OnFound } from '../relay/deep-sweep-report.ts';
import { DiscardWorker } from '../relay/discard-worker.ts';

/** A server that is starting holds the folder, and does not listen yet. */
const ASK_AGAIN_MS = 250;

/**
 * @param onFound with `list`: called for each thing that a deep sweep finds
 * @throws StartError, UnavailableError: one sentence for the operator each
 */
export async function sweepWhereItBelongs(
  config: Config,
  secrets: Secrets,
  request: SweepRequest,
  logger: Logger,
  signal: AbortSignal,
  onFound: OnFound = () => {},
): Promise<SweepReport> {
  const keepsData = config.s3.kind === 'embedded' || secrets.databaseUrl === null;
  if (!keepsData) return sweepHere(config, secrets, null, request, logger, signal, onFound);
  if (!existsSync(config.dataDir)) {
    throw new StartError(`there is nothing to sweep: the data folder ${config.dataDir} does not exist`);
  }
  const until = performance.now() + config.startWaitSecs * 1_000;
  for (;;) {
    const report = await askServerToSweep(config.dataDir, request, signal, onFound);
    if (report !== null) return report;
    try {
      const lock = lockDataDir(config.dataDir);
      return await sweepHere(config, secrets, lock, request, logger, signal, onFound);
    } catch (error) {
      if (!(error instanceof DataDirInUseError) || performance.now() + ASK_AGAIN_MS >= until) throw error;
      await sleep(ASK_AGAIN_MS);
    }
  }
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
  const { discardRecheckSecs, everyMs } = SWEEP_TIMING;
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
