import type Uppy from '@uppy/core';
import type { Body, Meta, UppyFile } from '@uppy/core';
import { SessionNote } from './session-note.ts';

/**
 * What was under way goes on by itself. Two cases wait for the person: an upload that was paused, and a file that the
 * browser kept no copy of and that has to be chosen again.
 *
 * Golden Retriever's own way (`restore-confirmed`) would resume what was paused along with the rest.
 *
 * @param start sends a file, from where it stopped
 */
export function resumeAfterReload<M extends Meta, B extends Body>(
  uppy: Uppy<M, B>,
  start: (fileId: string) => void,
): void {
  const [arrived, paused] = [new SessionNote('arrived'), new SessionNote('paused')];
  uppy.on('upload-success', (file) => file !== undefined && arrived.add(file.id, file.size ?? 0));
  uppy.on('file-added', (file) => arrived.delete(file.id)); // the same file once more
  uppy.on('upload-pause', (file, isPaused) => {
    if (file === undefined) return;
    if (isPaused) paused.add(file.id, file.progress.bytesUploaded || 0);
    else paused.delete(file.id);
  });
  uppy.on('upload-retry', (file) => file !== undefined && paused.delete(file.id));
  uppy.on('file-removed', (file) => paused.delete(file.id));

  uppy.on('restored', () => {
    // A page that goes away right after a file has arrived leaves it behind as unfinished, without its bytes: nobody
    // should be asked to choose it again.
    for (const file of uppy.getFiles()) {
      if (file.progress.uploadComplete || (file.isGhost && arrived.has(file.id))) uppy.removeFile(file.id);
    }
    uppy.setState({ recoveredState: null, currentUploads: {} });
    for (const file of uppy.getFiles()) {
      if (paused.has(file.id)) hold(uppy, file, paused.bytesOf(file.id));
      else if (!file.isPaused && !file.isGhost && !file.error) start(file.id);
    }
  });
}

function hold<M extends Meta, B extends Body>(uppy: Uppy<M, B>, file: UppyFile<M, B>, doneBytes: number): void {
  const progress = { ...file.progress, uploadStarted: file.progress.uploadStarted ?? 0, bytesUploaded: doneBytes };
  uppy.setFileState(file.id, { isPaused: true, progress } as Partial<UppyFile<M, B>>);
}
