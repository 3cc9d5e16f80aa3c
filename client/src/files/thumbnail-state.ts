import type { StoredFile } from '../api.ts';
import { typeOf } from '../format.ts';

/** Types that the server makes thumbnails of. */
const PREVIEWED_TYPES = new Set([
  'image/jpeg',
  'image/png',
  'image/apng',
  'image/webp',
  'image/gif',
  'image/avif',
  'image/tiff',
]);

/** After this long nobody is waiting any more: the picture's place shows its type. */
const PATIENCE_MS = 60 * 60_000;

/** Is a thumbnail of the file still to come? */
export function isProcessing(file: StoredFile, now: Date): boolean {
  return (
    file.thumbs === null &&
    file.problem === null &&
    file.detectedType !== null &&
    PREVIEWED_TYPES.has(typeOf(file)) &&
    now.getTime() - new Date(file.createdAt).getTime() < PATIENCE_MS
  );
}
