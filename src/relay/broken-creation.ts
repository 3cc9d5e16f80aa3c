/**
 * What a creation answers whose body could not be stored to its end. A client that gets an error for its POST never
 * learns the new address, and creates anew; one that gets a 201 asks there how far it has come. So the 201 is for what
 * the client can go on from, and everything else ends the upload, which nobody could ever reach again.
 *
 * | What happened | Answer | The upload |
 * | --- | --- | --- |
 * | The body ended early: silent for too long, told to let go (shutdown) | 201, with the offset | open |
 * | The client has gone, before every byte was there | none | terminated |
 * | S3 away or failing (5xx, no answer, "slow down") | 201, with the offset | open |
 * | The database away, or the answer to a commit lost | 201; with the offset if it can be read by now | open |
 * | Memory and disk spent for now | 201, with the offset | open |
 * | Another request has taken the upload over | 201, with its offset | open |
 * | Every byte is there, the object could not be put together | 201, without the offset | completing: the server goes on |
 * | Terminated by another request, or its bytes lost by the provider | 410 | terminated, lost |
 * | More bytes than the length, or whatever else is the client's mistake | the 4xx of it | terminated |
 * | S3 refuses (a permission is missing) | 502 | terminated |
 * | What nobody foresaw | 500 | terminated |
 *
 * Each of these but the first two is logged, whatever the answer.
 */
import type { UploadRecord } from '../catalog/upload-record.ts';
import { RelayError, UnavailableError } from '../errors.ts';
import { WriterFencedError } from './relay-errors.ts';

/** What the client is told to go on from. */
export interface GoingOn {
  upload: UploadRecord;
  /** null: what the database holds by now could not be read. */
  offsetBytes: number | null;
}

interface Surroundings {
  /** @throws UploadNotFoundError, UnavailableError */
  find(uploadId: string): Promise<UploadRecord>;
  /** @throws UploadGoneError unless the upload is open, completing or finished */
  assertAlive(upload: UploadRecord): void;
  terminate(uploadId: string): Promise<void>;
}

/**
 * @param created the row as the creation wrote it
 * @throws the error itself, or UploadGoneError, when the client can not go on: the upload has ended then
 */
export async function goOnAfter(error: unknown, created: UploadRecord, relay: Surroundings): Promise<GoingOn> {
  const { uploadId } = created;
  let upload: UploadRecord;
  try {
    upload = await relay.find(uploadId);
  } catch (unreadable) {
    if (!(unreadable instanceof UnavailableError) || !passes(error)) throw error;
    return { upload: created, offsetBytes: null };
  }
  relay.assertAlive(upload);
  if (upload.state !== 'open' || passes(error)) return { upload, offsetBytes: upload.offsetBytes };
  await endUnreachable(uploadId, relay);
  throw error;
}

/** Nobody has been told its address, and nobody will be. */
export async function endUnreachable(uploadId: string, relay: Pick<Surroundings, 'terminate'>): Promise<void> {
  await relay.terminate(uploadId).catch((error) => {
    // It has ended otherwise, or the database is away: then it expires.
    if (!(error instanceof RelayError)) throw error;
  });
}

/** Will the same bytes be welcome when the client sends them again? */
function passes(error: unknown): boolean {
  if (error instanceof WriterFencedError) return true;
  return error instanceof RelayError && (error.status === 503 || error.status === 423);
}
