/** The keys of the embedded server: made at random once, then the same for as long as the data folder is. */
import { randomBytes, randomInt } from 'node:crypto';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { StartError } from '../errors.ts';
import { makeFolder } from '../make-folder.ts';

export interface DevS3Credentials {
  accessKeyId: string;
  secretAccessKey: string;
}

const FILE_NAME = 'credentials.json';
const STORED = z.object({ accessKeyId: z.string().min(1), secretAccessKey: z.string().min(1) });

/**
 * @param dataDir the server's data folder; made when it is missing
 * @throws StartError when the file cannot be read, written or understood
 */
export function loadOrCreateCredentials(dataDir: string): DevS3Credentials {
  const path = join(dataDir, FILE_NAME);
  try {
    makeFolder(dataDir);
    return readStored(path) ?? create(path);
  } catch (error) {
    if (error instanceof StartError) throw error;
    throw new StartError(`cannot keep the keys of the embedded S3 in ${path}: ${reasonOf(error)}`, { cause: error });
  }
}

function readStored(path: string): DevS3Credentials | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
  const stored = STORED.safeParse(parseJson(text));
  // Never replaced: whoever has the old keys in their settings would be locked out without a word.
  if (!stored.success) throw new StartError(`${path} does not hold the embedded S3's keys any more: remove it`);
  return stored.data;
}

function create(path: string): DevS3Credentials {
  const credentials = { accessKeyId: newAccessKeyId(), secretAccessKey: randomBytes(30).toString('base64') };
  // Renamed when it is whole: a kill in between leaves no half file under the name that is read.
  const temporary = `${path}.${process.pid}.tmp`;
  rmSync(temporary, { force: true });
  writeFileSync(temporary, `${JSON.stringify(credentials, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
  renameSync(temporary, path);
  return credentials;
}

/** In the form that S3's have: some clients check it. */
function newAccessKeyId(): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  return `DEV${Array.from({ length: 17 }, () => alphabet[randomInt(alphabet.length)]).join('')}`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
