import { accessSync, constants, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const TOOLS = fileURLToPath(new URL('../../../.tools/', import.meta.url));

/**
 * Looks in PATH, then where `go install` puts programs, then in the project's .tools folder.
 *
 * @param moreFolders looked at last
 * @returns null when there is none
 */
export function findProgram(name: string, moreFolders: string[] = []): string | null {
  const inPath = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  const folders = [...inPath, join(homedir(), 'go', 'bin'), TOOLS, join(TOOLS, 'bin'), ...moreFolders];
  return folders.map((folder) => join(folder, name)).find(isProgram) ?? null;
}

/** @throws Error that says what to install */
export function getProgram(name: string, moreFolders: string[] = []): string {
  const found = findProgram(name, moreFolders);
  if (found === null) throw new Error(`${name} is not installed: the tests under test/services need it`);
  return found;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
