/**
 * A writer that is alive says so in its row, whatever it is doing: reading a body that trickles, waiting for memory, or
 * for an S3 that takes long with the last object. It keeps the upload from expiring, and tells other nodes, where no
 * common lock does, that this is not a writer to take over from.
 */
import type { UploadLedger } from './upload-ledger.ts';

/** Below the silence after which a writer without a common lock is taken over. */
const LONE_BEAT_MS = 5_000;
/** With a common lock only the expiry of the upload has to be kept away. */
const SHARED_BEAT_MS = 60_000;

export interface HeartbeatRule {
  /** An upload that nobody has said anything of for so long expires: one says something three times in that. */
  uploadExpiresSecs: number;
  isLockShared: () => boolean;
}

/** @returns how long a writer may be silent, in milliseconds */
export function beatEveryMs({ uploadExpiresSecs, isLockShared }: HeartbeatRule): number {
  return Math.min(isLockShared() ? SHARED_BEAT_MS : LONE_BEAT_MS, (uploadExpiresSecs * 1_000) / 3);
}

export class Heartbeat {
  readonly #ledger: Pick<UploadLedger, 'sinceLookMs' | 'ended' | 'look'>;
  readonly #rule: HeartbeatRule;
  readonly #tickMs: number;
  readonly #timer: NodeJS.Timeout;
  #looking: Promise<void> | null = null;

  /** Beats from now on. */
  constructor(ledger: Pick<UploadLedger, 'sinceLookMs' | 'ended' | 'look'>, rule: HeartbeatRule) {
    this.#ledger = ledger;
    this.#rule = rule;
    // Whether the lock is shared may change at any time, so this asks as often as it might be due.
    this.#tickMs = beatEveryMs({ ...rule, isLockShared: () => false });
    this.#timer = setInterval(() => this.#beat(), this.#tickMs);
  }

  /** Comes back when no statement of it is under way any more; never rejects. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  #beat(): void {
    const { sinceLookMs, ended } = this.#ledger;
    if (ended || this.#looking !== null || sinceLookMs < beatEveryMs(this.#rule) - this.#tickMs / 2) return;
    this.#looking = this.#ledger
      .look()
      // A failure shows at the next commit, which demands the same.
      .catch(() => {})
      .finally(() => {
        this.#looking = null;
      });
  }
}
