import type Uppy from '@uppy/core';
import type { Body, Meta } from '@uppy/core';

/** Files that have arrived, by Uppy's id. Written at once, while Golden Retriever writes twice a second. */
const NOTE = 'arrived-files';
/** Only the last moments before a reload matter. */
const NOTED_FILES = 100;

/**
 * What was under way goes on by itself. Two cases wait for the person, and Uppy's panel says so: an upload that was
 * paused, and a file that the browser kept no copy of and that has to be chosen again.
 */
export function resumeAfterReload<M extends Meta, B extends Body>(uppy: Uppy<M, B>): void {
  const arrived = new Set<string>(JSON.parse(sessionStorage.getItem(NOTE) ?? '[]'));
  const note = () => sessionStorage.setItem(NOTE, JSON.stringify([...arrived].slice(-NOTED_FILES)));
  uppy.on('upload-success', (file) => {
    if (file !== undefined) arrived.add(file.id);
    note();
  });
  uppy.on('file-added', (file) => {
    if (arrived.delete(file.id)) note(); // the same file once more
  });
  uppy.on('restored', () => {
    // A page that goes away right after a file has arrived leaves it behind as unfinished, without its bytes: nobody
    // should be asked to choose it again.
    for (const file of uppy.getFiles()) {
      if (file.progress.uploadComplete || (file.isGhost && arrived.has(file.id))) uppy.removeFile(file.id);
    }
    const unfinished = uppy.getFiles();
    const waits = unfinished.some((file) => file.isGhost) || unfinished.every((file) => file.isPaused);
    if (unfinished.length > 0 && !waits) uppy.emit('restore-confirmed');
  });
}
