import type { Announce } from './announcer.ts';
import type { LiveState } from './live-events.ts';

const TEXTS: Readonly<Record<LiveState, string>> = {
  connecting: 'Connecting …',
  live: 'Live',
  reconnecting: 'Reconnecting …',
  offline: 'Offline',
};

/** Breaks shorter than this are not worth a word. */
const PATIENCE_MS = 1_500;

/** Shows in the page's header how the live connection is doing, and says it when it changes for longer. */
export function connectionBadge(badge: HTMLElement, text: HTMLElement, announce: Announce): (state: LiveState) => void {
  let timer: number | undefined;
  let announced: LiveState = 'live';
  return (state) => {
    badge.dataset.state = state;
    text.textContent = TEXTS[state];
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      if (state === announced || state === 'connecting') return;
      announced = state;
      announce(state === 'live' ? 'Connected again' : 'The connection is lost. Uploads go on when it is back.');
    }, PATIENCE_MS);
  };
}
