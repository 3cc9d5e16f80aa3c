import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a folder, with those that lead to it; one that is there is fine. Level by level, since Node's own `recursive`
 * never comes back where a file system answers "no such file" to mkdir although the parent is there, as /proc does.
 *
 * @param mode of the last one, less the umask
 * @throws the system's error: ENOENT, EACCES, ENOTDIR …, and EEXIST for a file of that name
 */
export function makeFolder(path: string, mode = 0o777): void {
  try {
    mkdirSync(path, mode);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && !isFolder(dirname(path))) {
      makeFolder(dirname(path));
      makeFolder(path, mode);
    } else if (!isFolder(path)) {
      // Some systems have other errors than EEXIST for what is there (the root, a folder that is mounted read-only).
      throw error;
    }
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
