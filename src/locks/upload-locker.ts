import { RelayError } from '../errors.ts';

/** How long a request waits for its turn. A wait that runs out is a 423: on a HEAD, tus-js-client retries only that. */
export const LOCK_WAIT_MS = 10_000;

export interface LockRequest {
  uploadId: string;
  /** Ends the wait: the client is gone. */
  signal?: AbortSignal;
  /** Called (once) when another request waits for the lock: stop reading, keep what is there, commit, release. */
  onReleaseRequested?: () => void;
}

/** Safe to call twice. */
export type ReleaseLock = () => Promise<void>;

/**
 * One writer of an upload at a time. Locks make waiting pleasant; they are not what keeps data safe (V6).
 *
 * @throws UploadLockedError when the wait runs out, the signal's reason when it was cut short
 */
export interface UploadLocker {
  acquire(request: LockRequest): Promise<ReleaseLock>;
}

export class UploadLockedError extends RelayError {
  override readonly name = 'UploadLockedError';

  constructor(uploadId: string) {
    super('upload_locked', 423, `upload ${uploadId} is in use by another request`);
  }
}
