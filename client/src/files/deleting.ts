import type { Announce } from '../announcer.ts';
import { deleteFile, type StoredFile } from '../api.ts';
import { nameOf } from '../format.ts';
import { confirmDelete } from './delete-dialog.ts';
import type { FileRow } from './file-row.ts';

interface DeletingParts {
  announce: Announce;
  rowOf(fileId: string): Pick<FileRow, 'showFailure' | 'setBusy'> | undefined;
  onDeleted(fileId: string): void;
}

/** Asks once, then deletes one after another. What could not be deleted stays, and its row says why. */
export async function deleteFiles(files: readonly StoredFile[], parts: DeletingParts): Promise<void> {
  if (files.length === 0 || !(await confirmDelete(files.map(nameOf)))) return;
  for (const { id } of files) {
    parts.rowOf(id)?.showFailure(null);
    parts.rowOf(id)?.setBusy(true);
  }
  const failed: StoredFile[] = [];
  for (const file of files) {
    try {
      await deleteFile(file.id);
      parts.onDeleted(file.id);
    } catch (error) {
      failed.push(file);
      const reason = error instanceof Error ? error.message : String(error);
      parts.rowOf(file.id)?.setBusy(false);
      parts.rowOf(file.id)?.showFailure(`Could not be deleted: ${reason}.`);
    }
  }
  parts.announce(outcome(files, failed));
}

function outcome(files: readonly StoredFile[], failed: readonly StoredFile[]): string {
  const [only] = files;
  if (files.length === 1 && only !== undefined) {
    return `${nameOf(only)} ${failed.length === 0 ? 'deleted' : 'could not be deleted'}`;
  }
  const deleted = `${files.length - failed.length} of ${files.length} files deleted`;
  return failed.length === 0 ? `${files.length} files deleted` : deleted;
}
