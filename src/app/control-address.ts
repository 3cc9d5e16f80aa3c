/**
 * Where a server that holds a data folder listens for the commands beside it: a Unix socket in `DATA_DIR/control`, a
 * folder that nobody else may enter. The address of a Unix socket has room for about a hundred bytes; for a longer one,
 * and where the file system has no sockets, it lives in the system's folder for temporary files, and a file in the
 * control folder says where.
 */
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import process from 'node:process';

/** 104 on macOS and the BSDs, 108 on Linux; one is for the end of the string. */
const MAX_SOCKET_PATH_BYTES = 100;
const SOCKET = 'control.sock';
const ELSEWHERE_PREFIX = 'tus-relay-control-';

/** @returns where a server of this folder listens, if there is one */
export function findControlAddress(dataDir: string): string {
  if (process.platform === 'win32') return pipeOf(dataDir);
  return readElsewhere(dataDir) ?? join(controlFolder(dataDir), SOCKET);
}

/**
 * Removes what a killed server has left, and makes the folders. For the holder of the folder's lock only.
 *
 * @returns the addresses to try in turn
 */
export function prepareControlAddresses(dataDir: string): (() => string)[] {
  if (process.platform === 'win32') return [() => pipeOf(dataDir)];
  removeControlAddress(dataDir);
  const folder = controlFolder(dataDir);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700); // whatever the umask took away
  const socket = join(folder, SOCKET);
  const elsewhere = () => {
    const path = join(mkdtempSync(join(tmpdir(), ELSEWHERE_PREFIX)), SOCKET);
    writeFileSync(pathFile(dataDir), `${path}\n`, { mode: 0o600 });
    return path;
  };
  return Buffer.byteLength(socket) > MAX_SOCKET_PATH_BYTES ? [elsewhere] : [() => socket, elsewhere];
}

/** For the holder of the folder's lock only. */
export function removeControlAddress(dataDir: string): void {
  if (process.platform === 'win32') return;
  const elsewhere = readElsewhere(dataDir);
  if (elsewhere !== null) rmSync(dirname(elsewhere), { recursive: true, force: true });
  rmSync(controlFolder(dataDir), { recursive: true, force: true });
}

/** @returns null when there is none, or what is written there is not an address that we would have chosen */
function readElsewhere(dataDir: string): string | null {
  let path: string;
  try {
    path = readFileSync(pathFile(dataDir), 'utf8').trim();
  } catch {
    return null;
  }
  return basename(path) === SOCKET && basename(dirname(path)).startsWith(ELSEWHERE_PREFIX) ? path : null;
}

function controlFolder(dataDir: string): string {
  return join(resolve(dataDir), 'control');
}

function pathFile(dataDir: string): string {
  return join(controlFolder(dataDir), 'path');
}

/** Pipes are open to their maker and to administrators. */
function pipeOf(dataDir: string): string {
  const name = createHash('sha256').update(resolve(dataDir).toLowerCase()).digest('hex').slice(0, 32);
  return `\\\\.\\pipe\\tus-relay-${name}`;
}
