import { randomUUID } from 'node:crypto';

/**
 * Where an upload's bytes go: `uploads/{owner}/{yyyy}/{mm}/{dd}/{uuid}` behind the operator's prefix. The uuid is not
 * the upload's id: keys show in public URLs, and the id is what lets a client write.
 */
export function freshObjectKey(keyPrefix: string, owner: string, now: Date): string {
  const [date] = now.toISOString().split('T');
  return `${keyPrefix}uploads/${owner}/${date?.replaceAll('-', '/')}/${randomUUID()}`;
}
