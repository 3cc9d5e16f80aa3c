/**
 * Changes a list without moving what the person has before them: the row under the pointer or with the focus, else the
 * first one in sight when the list's beginning is not. Rows that come in above it push the page instead.
 */
export function keepInPlace(list: HTMLElement, change: () => void): void {
  const anchor = anchorOf(list);
  const top = anchor?.getBoundingClientRect().top;
  change();
  if (anchor === undefined || top === undefined || !anchor.isConnected) return;
  const moved = anchor.getBoundingClientRect().top - top;
  if (Math.abs(moved) >= 1) window.scrollBy({ top: moved, behavior: 'instant' });
}

function anchorOf(list: HTMLElement): Element | undefined {
  const rows = [...list.children];
  const used = rows.find((row) => row.matches(':hover') || row.matches(':focus-within'));
  if (used !== undefined) return used;
  if (list.getBoundingClientRect().top >= 0) return undefined;
  return rows.find((row) => row.getBoundingClientRect().top >= 0);
}
