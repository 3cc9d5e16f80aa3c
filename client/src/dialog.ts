import { el } from './dom.ts';

/**
 * A question or a message in the page itself. A native modal dialog: it keeps the focus, Escape means the first answer,
 * and the focus returns to where it came from. The first answer has the focus.
 *
 * @param answers buttons, the safe one first
 * @returns the answer that was given
 */
export function askInDialog<Answer extends string>(
  title: string,
  content: readonly Node[],
  answers: readonly { answer: Answer; label: string; danger?: boolean }[],
): Promise<Answer> {
  const buttons = answers.map(({ answer, label, danger }, index) => {
    const look = danger ? 'button button-danger' : 'button';
    const button = el('button', { type: 'button', class: look, autofocus: index === 0 }, label);
    button.addEventListener('click', () => dialog.close(answer));
    return button;
  });
  const dialog = el(
    'dialog',
    { class: 'dialog', 'aria-labelledby': 'dialog-title', 'aria-describedby': 'dialog-text' },
    el('h2', { id: 'dialog-title' }, title),
    el('div', { id: 'dialog-text' }, ...content),
    el('div', { class: 'dialog-actions' }, ...buttons),
  );
  return new Promise((resolve) => {
    // A click on the backdrop has the dialog itself as its target.
    dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(answers.find(({ answer }) => answer === dialog.returnValue)?.answer ?? (answers[0]?.answer as Answer));
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
