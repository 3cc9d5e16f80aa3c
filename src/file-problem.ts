/** What a file system's error means, as half a sentence for the operator; its code goes along for who searches for it. */
const MEANINGS: Readonly<Record<string, string>> = {
  ENOENT: 'a folder on the way there does not exist and cannot be made',
  EEXIST: 'there is a file of that name',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EACCES: 'this account may not write there',
  EPERM: 'this account may not write there',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  ELOOP: 'the links on the way there lead in a circle',
  ENAMETOOLONG: 'the path is too long',
  EMFILE: 'too many files are open',
};

/** @param error what a call of `node:fs` threw, or anything else: then its own message */
export function explainFileProblem(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? String(error.code) : '';
  const meaning = MEANINGS[code];
  return meaning === undefined ? error.message : `${meaning} (${code})`;
}
