import { askInDialog } from '../dialog.ts';
import { el } from '../dom.ts';
import { nameParts } from '../name-parts.ts';

/** So many names are told; of more, their number. */
const NAMED = 5;

/** Asks once, for one file or for several. @returns whether to delete */
export async function confirmDelete(names: readonly string[]): Promise<boolean> {
  const keep = names.length === 1 ? 'Keep it' : 'Keep them';
  const answer = await askInDialog(
    names.length === 1 ? 'Delete this file?' : `Delete ${names.length} files?`,
    names.length === 1 ? [sentence(names[0] ?? '')] : [listed(names), el('p', {}, `They ${FATE}`)],
    [
      { answer: 'keep', label: keep },
      { answer: 'delete', label: 'Delete', danger: true },
    ],
  );
  return answer === 'delete';
}

const FATE = 'will be removed from storage, for everyone. There is no way back.';

function sentence(name: string): HTMLElement {
  return el('p', {}, el('strong', { class: 'dialog-name' }, name), ` ${FATE}`);
}

function listed(names: readonly string[]): HTMLElement {
  const told = names
    .slice(0, NAMED)
    .map((name) => el('li', { class: 'name', title: name, dir: 'auto' }, ...nameParts(name)));
  const rest = names.length - told.length;
  return el('ul', { class: 'dialog-names', role: 'list' }, ...told, rest > 0 ? el('li', {}, `and ${rest} more`) : null);
}
