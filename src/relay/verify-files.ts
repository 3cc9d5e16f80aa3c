import type { SweepCatalog } from '../catalog/sweep-catalog.ts';
import type { CallOptions, ObjectStorage } from '../s3/object-storage.ts';
import type { DeepSweepTally } from './deep-sweep-report.ts';
import { inGroups } from './in-groups.ts';

const BATCH = 500;
/** Questions to S3 that are under way at once. */
const AT_A_TIME = 20;

export interface VerifierDependencies {
  sweeps: Pick<SweepCatalog, 'findFiles' | 'findFilesOf'>;
  storage: Pick<ObjectStorage, 'headObject'>;
}

/**
 * Asks S3 for the object of every file (one request a file): records can be older than a deletion, after a restore of
 * the database, and somebody may have deleted objects by hand. Changes nothing.
 */
export async function verifyFiles(
  { sweeps, storage }: VerifierDependencies,
  tally: DeepSweepTally,
  options: CallOptions,
): Promise<void> {
  tally.report.missing = 0;
  for (let afterId: string | null = null; ; ) {
    options.signal?.throwIfAborted();
    const files = await sweeps.findFiles(BATCH, afterId);
    const absent = await inGroups(files, AT_A_TIME, async (file) => {
      const object = await storage.headObject(file.objectKey, options);
      return object?.bytes === file.bytes ? null : file;
    });
    // Some have been deleted since they were read, as they should.
    const still = await sweeps.findFilesOf(absent.flatMap((file) => (file === null ? [] : [file.fileId])));
    for (const { objectKey, bytes, createdAt } of still) {
      const storedAt = createdAt.toISOString();
      await tally.found({ foundAs: 'missing', key: objectKey, kind: 'object', bytes, storedAt });
    }
    afterId = files.at(-1)?.fileId ?? null;
    if (files.length < BATCH) return;
  }
}
