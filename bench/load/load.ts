/** What the load generator is told to do, and what it says afterwards. Both cross a process boundary as JSON. */

export type Load = UploadLoad | HeadLoad | WaitingLoad;

export interface UploadLoad {
  readonly kind: 'uploads';
  readonly uploads: number;
  readonly bytes: number;
  /** Bytes of each PATCH; the last may be shorter. */
  readonly patchBytes: number;
  /** The first request creates the upload and carries its first bytes, where a PATCH would have. */
  readonly withCreation: boolean;
  readonly concurrency: number;
  /** Of each client; null: as fast as it goes. */
  readonly bytesPerSec: number | null;
}

export interface HeadLoad {
  readonly kind: 'heads';
  readonly requests: number;
  readonly concurrency: number;
}

/** Clients that each send one PATCH as far as their sockets let them, and then stay. S3 is to take nothing meanwhile. */
export interface WaitingLoad {
  readonly kind: 'waiting';
  readonly clients: number;
  /** Of each upload. */
  readonly bytes: number;
}

export interface LoadResult {
  readonly uploads: readonly SentUpload[];
  /** One for each request with bytes, in the order in which they ended; HEADs likewise. */
  readonly latenciesMs: readonly number[];
}

export interface SentUpload {
  /** Absolute. */
  readonly url: string;
  readonly bytes: number;
  readonly patchBytes: number;
  /** Of its first byte in the pattern. */
  readonly position: number;
}
