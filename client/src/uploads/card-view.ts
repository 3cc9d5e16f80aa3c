/** What the card of an upload says and offers. Pure functions. */
import { formatBytes, formatTimeLeft } from '../format.ts';
import { SILENT_MS } from './speed-estimator.ts';

/**
 * queued: waits for its turn. sending: under way, whether or not bytes are moving. paused: by the person, also before a
 * reload. missing: the browser kept no copy for the reload. failed: given up. refused: never begun. stored: done.
 */
export type Phase = 'queued' | 'sending' | 'paused' | 'missing' | 'failed' | 'refused' | 'stored';

export interface UploadFacts {
  phase: Phase;
  totalBytes: number;
  doneBytes: number;
  /** null: not known, or not now. */
  bytesPerSec: number | null;
  /** The last request got no answer, or one that says "later"; with the words of that answer. null: it did not. */
  away: { said: string | null } | null;
  /** Since a byte moved, or the request began. */
  silentMs: number;
  /** A sentence: why it failed, was refused, or what was wrong with the file that was chosen again. */
  reason: string | null;
}

export type CardAction = 'pause' | 'resume' | 'retry' | 'choose' | 'cancel' | 'dismiss';

export interface CardView {
  tone: 'busy' | 'waiting' | 'paused' | 'failed' | 'stored';
  status: string;
  /** Whole per cent; null: nothing to show a bar of. */
  percent: number | null;
  actions: readonly CardAction[];
}

export function viewOf(facts: UploadFacts): CardView {
  const percent = facts.totalBytes === 0 ? 0 : Math.floor((facts.doneBytes / facts.totalBytes) * 100);
  switch (facts.phase) {
    case 'queued':
      return { tone: 'busy', status: `${amount(facts)} · waits for its turn`, percent, actions: ['pause', 'cancel'] };
    case 'sending':
      return { ...sending(facts), percent, actions: ['pause', 'cancel'] };
    case 'paused':
      return { tone: 'paused', status: `Paused · ${amount(facts)}`, percent, actions: ['resume', 'cancel'] };
    case 'missing':
      return {
        tone: 'paused',
        status:
          facts.reason ??
          `The browser kept no copy of this file (${formatBytes(facts.totalBytes)}): choose it again to go on.`,
        percent,
        actions: ['choose', 'cancel'],
      };
    case 'failed':
      return { tone: 'failed', status: facts.reason ?? 'It failed.', percent: null, actions: ['retry', 'dismiss'] };
    case 'refused':
      return { tone: 'failed', status: facts.reason ?? 'It was refused.', percent: null, actions: ['dismiss'] };
    case 'stored':
      return { tone: 'stored', status: `Stored · ${formatBytes(facts.totalBytes)}`, percent: 100, actions: [] };
  }
}

/** Nothing has moved for long enough to say so; all is sent, it is the server's turn, and takes the time it takes. */
export function isWaiting(facts: UploadFacts): boolean {
  if (facts.phase !== 'sending') return false;
  return facts.away !== null || (facts.silentMs >= SILENT_MS && !isAllSent(facts));
}

function sending(facts: UploadFacts): Pick<CardView, 'tone' | 'status'> {
  if (isWaiting(facts)) {
    const said = facts.away?.said ?? null;
    return { tone: 'waiting', status: `Waiting for the server … ${said ?? amount(facts)}` };
  }
  if (isAllSent(facts)) return { tone: 'busy', status: `${formatBytes(facts.totalBytes)} sent · storing …` };
  const pace = paceText(facts.bytesPerSec, facts.totalBytes - facts.doneBytes);
  return { tone: 'busy', status: pace === null ? amount(facts) : `${amount(facts)} · ${pace}` };
}

/** `3.2 MB/s · 45 s left`. @returns null while the speed is not known */
export function paceText(bytesPerSec: number | null, leftBytes: number): string | null {
  if (bytesPerSec === null) return null;
  return `${formatBytes(bytesPerSec)}/s · ${formatTimeLeft(leftBytes / bytesPerSec)}`;
}

function isAllSent({ totalBytes, doneBytes }: UploadFacts): boolean {
  return doneBytes >= totalBytes && totalBytes > 0;
}

function amount({ totalBytes, doneBytes }: UploadFacts): string {
  return `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`;
}
