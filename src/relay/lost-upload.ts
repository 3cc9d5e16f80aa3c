import type { ObjectStorage } from '../s3/object-storage.ts';
import { isWholeObject } from './object-headers.ts';
import { UploadGoneError } from './relay-errors.ts';
import type { S3Retry } from './s3-retry.ts';
import type { StorageEvidence } from './storage-canary.ts';
import type { UploadLedger } from './upload-ledger.ts';

/**
 * An endpoint that leads now to one site and now to another one deceives a look by chance: "no such upload" comes from
 * there, and the canary from here. Where each answer is as likely from either, one in four does; of eight in a row, one in
 * 65,000. (Of three it was one upload in a hundred.) As soon as a canary is missing nothing is believed for a while.
 */
const ROUNDS = 8;

/**
 * Ends an open upload whose bytes the storage does not have any more. Its parts and segments are discarded with that, so
 * it takes more than a question that was answered "no": the same answer several times, and behind each of them evidence
 * that this is the storage which they were written to.
 *
 * @param findMissing looks in the storage; says what is missing, null when nothing is
 * @throws UploadLostError when the upload has ended. UploadGoneError when its object is whole: the database is older than
 *   the bucket. StorageElsewhereError without evidence. WriterFencedError when it is another's by now.
 */
export async function giveUpIfLost(
  ledger: UploadLedger,
  storage: Pick<ObjectStorage, 'headObject'>,
  retry: S3Retry,
  evidence: Pick<StorageEvidence, 'demand'>,
  findMissing: () => Promise<string | null>,
): Promise<void> {
  let missing: string | null = null;
  for (let round = 0; round < ROUNDS; round += 1) {
    missing = await findMissing();
    if (missing === null) return;
    await assertNotWhole();
    await retry.run((options) => evidence.demand(0, options));
  }
  await ledger.giveUp(missing as string);

  async function assertNotWhole(): Promise<void> {
    const { upload } = ledger;
    const object = await retry.run((options) => storage.headObject(upload.objectKey, options));
    if (object === null || !isWholeObject(object, upload)) return;
    // Nothing of the finished object may become a discard. The sweeper finishes the upload when it expires
    // (expire-uploads.ts).
    throw new UploadGoneError(upload.uploadId, 'was completed before the database was restored');
  }
}
