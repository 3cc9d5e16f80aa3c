/** What the locks of a node have seen since it started; only ever grows. For the metrics. */
export interface LockCounters {
  /** Locks given, by whichever way. */
  acquired: number;
  /** Requests that had to wait, whether they got the lock in the end or not. */
  waits: number;
  /** Milliseconds that these waited together. */
  waitMs: number;
  /** Waits that ran out: a 423 each. */
  timeouts: number;
  /** Locks taken from a holder that had stopped renewing (killed, paused, cut off). */
  expiryTakeovers: number;
  /** Locks that another node took while this one believed to hold them. */
  lost: number;
  /** Locks given by this node alone, since Redis was lost. */
  fallbacks: number;
  /** How often Redis was lost, a start without it included. */
  outages: number;
}

export function newLockCounters(): LockCounters {
  return {
    acquired: 0,
    waits: 0,
    waitMs: 0,
    timeouts: 0,
    expiryTakeovers: 0,
    lost: 0,
    fallbacks: 0,
    outages: 0,
  };
}
