/** What a node has done to uploads since it started; only ever grows. For the metrics. */
export interface UploadCounters {
  created: number;
  finished: number;
  /** By a client, in whatever state. */
  terminated: number;
  /** Claims that found another writer's token: it was killed, paused or cut off, or has ended uncleanly. */
  takeovers: number;
  /** Ended by this node since the storage has not their bytes any more. */
  lost: number;
  /** Ended by this node since S3 refuses to put them together. */
  failed: number;
  /** Acknowledged (V1). */
  committedBytes: number;
}

export function newUploadCounters(): UploadCounters {
  return { created: 0, finished: 0, terminated: 0, takeovers: 0, lost: 0, failed: 0, committedBytes: 0 };
}
