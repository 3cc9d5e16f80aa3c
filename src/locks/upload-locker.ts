import { RelayError } from '../errors.ts';
import type { LockCounters } from './lock-counters.ts';

/** How long a request waits for its turn. A wait that runs out is a 423: on a HEAD, tus-js-client retries only that. */
export const LOCK_WAIT_MS = 10_000;

export interface LockRequest {
  uploadId: string;
  /** Ends the wait: the client is gone. */
  signal?: AbortSignal;
  /**
   * It waits for its turn without asking the holder to let go. For a PATCH: what a holder stores when it is asked would
   * make the newcomer's offset wrong, and of two that race neither would come to its end.
   */
  patient?: boolean;
  /**
   * Called (once) when a request that is not patient waits for the lock, or when the lock was lost: stop reading, keep what is
   * there, commit, release. Never before the lock was given.
   */
  onReleaseRequested?: () => void;
}

/** Safe to call twice. Never rejects. */
export type ReleaseLock = () => Promise<void>;

/**
 * One writer of an upload at a time. Locks make waiting pleasant; they are not what keeps data safe (V6).
 *
 * @throws UploadLockedError when the wait runs out, the signal's reason when it was cut short
 */
export interface UploadLocker {
  acquire(request: LockRequest): Promise<ReleaseLock>;
}

/** How a request reaches the writer of an upload on another node, where no common lock does it. */
export interface WriterCalls {
  /** False: nobody would hear for now. */
  readonly connected: boolean;
  /** Asks whoever holds the upload on another node to stop reading, keep what is there, commit, and let go. */
  askToLetGo(uploadId: string): void;
  /**
   * Comes back when a node has said that it has let go, or after a time: then the upload's row tells.
   *
   * @throws the signal's reason
   */
  freed(uploadId: string, withinMs: number, signal?: AbortSignal): Promise<void>;
}

/** The locker of a whole node, as it is opened, watched and closed. */
export interface NodeLocker extends UploadLocker {
  /** The requests on all nodes wait for one another here, now. false: only those of this node do. */
  readonly shared: boolean;
  /** null: there are no other nodes, or nobody hears them but through the lock itself. */
  readonly calls: WriterCalls | null;
  /** true: the locks reach only as far as this node for now, since what the nodes share for them is lost. */
  readonly degraded: boolean;
  readonly counters: Readonly<LockCounters>;
  /** Gives back what is held. Safe to call twice; never rejects. */
  close(): Promise<void>;
}

export class UploadLockedError extends RelayError {
  override readonly name = 'UploadLockedError';

  constructor(uploadId: string) {
    super('upload_locked', 423, `upload ${uploadId} is in use by another request`);
  }
}
