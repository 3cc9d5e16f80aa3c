import { el } from './dom.ts';

/**
 * Asks before a file is deleted, in the page itself. A native modal dialog: it keeps the focus, Escape means no, and
 * the focus returns to where it came from. The safe answer has the focus first.
 *
 * @returns whether to delete
 */
export function confirmDelete(fileName: string): Promise<boolean> {
  const keep = el('button', { type: 'button', class: 'button', autofocus: true }, 'Keep it');
  const remove = el('button', { type: 'button', class: 'button button-danger' }, 'Delete');
  const dialog = el(
    'dialog',
    { class: 'dialog', 'aria-labelledby': 'delete-title', 'aria-describedby': 'delete-text' },
    el('h2', { id: 'delete-title' }, 'Delete this file?'),
    el(
      'p',
      { id: 'delete-text' },
      el('strong', { class: 'dialog-name' }, fileName),
      ' will be removed from storage, for everyone. There is no way back.',
    ),
    el('div', { class: 'dialog-actions' }, keep, remove),
  );
  return new Promise((resolve) => {
    keep.addEventListener('click', () => dialog.close());
    remove.addEventListener('click', () => dialog.close('delete'));
    // A click on the backdrop has the dialog itself as its target.
    dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'delete');
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
