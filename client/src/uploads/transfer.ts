import type { Phase, UploadFacts } from './card-view.ts';
import { SpeedEstimator } from './speed-estimator.ts';

/** What Uppy knows of a file, as far as it is looked at here. */
export interface KnownFile {
  size: number | null;
  isPaused?: boolean | undefined;
  isGhost?: boolean | undefined;
  error?: string | null | undefined;
  progress: { uploadComplete?: boolean | undefined };
}

/** What this page has seen of one upload, since it was opened. */
export class Transfer {
  readonly speed = new SpeedEstimator();
  /** The last that is known; after a reload from before it, until the server has been asked. */
  doneBytes: number;
  /** Given to Uppy in this session: before that, an upload that is to be resumed has to be started instead. */
  started = false;
  /** Why it was given up, or why it cannot be gone on with. */
  reason: string | null = null;
  /** In this stretch, a request has begun. */
  #requested = false;
  #away: { said: string | null } | null = null;
  #movedAtMs = 0;

  constructor(doneBytes: number) {
    this.doneBytes = doneBytes;
  }

  /** A break, or the end of one: nothing that was measured or said before holds any more. */
  begin(): void {
    this.speed.reset();
    this.#requested = false;
    this.#away = null;
    this.reason = null;
  }

  requestBegan(nowMs: number): void {
    this.#requested = true;
    this.#movedAtMs = nowMs;
  }

  /** @returns how many bytes have moved since the last time; 0 for the first word after a break */
  moved(nowMs: number, doneBytes: number): number {
    const isFirst = this.speed.bytesSeen === null;
    const grown = isFirst ? 0 : Math.max(0, doneBytes - this.doneBytes);
    this.speed.add(nowMs, doneBytes);
    this.doneBytes = doneBytes;
    this.#movedAtMs = nowMs;
    this.#away = null;
    return grown;
  }

  answered(): void {
    this.#away = null;
  }

  /** The request failed, and is going to be tried again. @param said the server's words, when it answered at all */
  wentAway(said: string | null): void {
    this.speed.reset();
    this.#away = { said };
  }

  facts(file: KnownFile, nowMs: number, isOffline: boolean): UploadFacts {
    const phase = this.#phaseOf(file);
    return {
      phase,
      totalBytes: file.size ?? 0,
      doneBytes: this.doneBytes,
      bytesPerSec: phase === 'sending' ? this.speed.bytesPerSec(nowMs) : null,
      away: this.#away ?? (isOffline ? { said: null } : null),
      silentMs: nowMs - this.#movedAtMs,
      reason: this.reason,
    };
  }

  #phaseOf(file: KnownFile): Phase {
    if (file.progress.uploadComplete) return 'stored';
    if (file.error) return 'failed';
    if (file.isGhost) return 'missing';
    if (file.isPaused || !this.started) return 'paused';
    return this.#requested ? 'sending' : 'queued';
  }
}
