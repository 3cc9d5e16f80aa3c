import { el } from './dom.ts';
import { splitName } from './file-name.ts';

/** The parts of an element that shows a name in one line; the element itself has the class `name`, and says it whole. */
export function nameParts(name: string): HTMLElement[] {
  const [start, end] = splitName(name);
  return [el('span', { class: 'name-start' }, start), el('span', { class: 'name-end' }, end)];
}
