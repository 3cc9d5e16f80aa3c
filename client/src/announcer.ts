import { el } from './dom.ts';

const KEPT_MS = 10_000;

/** Speaks to screen readers through the page's live region: each sentence is an addition, so that none is lost. */
export type Announce = (sentence: string) => void;

export function announceIn(region: HTMLElement): Announce {
  return (sentence) => {
    const line = el('p', {}, sentence);
    region.append(line);
    setTimeout(() => line.remove(), KEPT_MS);
  };
}
