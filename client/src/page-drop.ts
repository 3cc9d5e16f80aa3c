import { getDroppedFiles } from '@uppy/core/utils';

/**
 * Makes the whole page a place to drop files on, and to paste them into. Listens before everything else, so that there
 * is one behaviour everywhere, Uppy's own drop zone included.
 */
export function takeDroppedFiles(add: (files: File[]) => void): void {
  const root = document.documentElement;
  const showTarget = (shown: boolean) => root.classList.toggle('is-dropping', shown);
  const onFiles = (type: 'dragenter' | 'dragover' | 'drop', handle: (transfer: DataTransfer) => void) => {
    window.addEventListener(
      type,
      (event) => {
        const transfer = event.dataTransfer;
        if (transfer === null || !transfer.types.includes('Files')) return;
        event.preventDefault(); // else the browser opens the file in place of the page
        event.stopPropagation();
        handle(transfer);
      },
      { capture: true },
    );
  };
  onFiles('dragenter', () => showTarget(true));
  onFiles('dragover', (transfer) => {
    transfer.dropEffect = 'copy';
  });
  onFiles('drop', async (transfer) => {
    showTarget(false);
    add(await getDroppedFiles(transfer));
  });
  window.addEventListener('dragleave', (event) => event.relatedTarget === null && showTarget(false), { capture: true });
  window.addEventListener(
    'paste',
    (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length === 0) return;
      event.stopPropagation();
      add(files);
    },
    { capture: true },
  );
}
