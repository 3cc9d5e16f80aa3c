/** Keys of a bucket, read back: which of them are ours, and what each is. */
import type { ListedObject } from '../catalog/sweep-catalog.ts';

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
/** object-key.ts, and what is hung on it: tail.ts, part-uploader.ts, thumbnail-keys.ts (whose sizes may change). */
const KEY = new RegExp(
  `^(?<base>uploads/(?<owner>[^/]+)/\\d{4}/\\d{2}/\\d{2}/(?<keyId>${UUID}))` +
    `(?:\\.(?<kind>tail|copy)/(?<token>${UUID})/\\d+|(?<thumbnail>_thumb_\\d{1,4}))?$`,
);

/** @returns null for a key that is not exactly of our form: somebody else's object */
export function readObjectKey(keyPrefix: string, objectKey: string): ListedObject | null {
  if (!objectKey.startsWith(keyPrefix)) return null;
  const found = KEY.exec(objectKey.slice(keyPrefix.length))?.groups;
  if (found?.base === undefined || found.owner === undefined || found.keyId === undefined) return null;
  const { kind, token, thumbnail } = found;
  return {
    objectKey,
    baseKey: `${keyPrefix}${found.base}`,
    owner: found.owner,
    kind: kind === 'tail' || kind === 'copy' ? kind : thumbnail === undefined ? 'object' : 'thumbnail',
    token: token ?? null,
    keyId: found.keyId,
  };
}

/** What a deep sweep lists. */
export function uploadsPrefix(keyPrefix: string): string {
  return `${keyPrefix}uploads/`;
}
