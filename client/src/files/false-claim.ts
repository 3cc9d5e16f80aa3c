import type { StoredFile } from '../api.ts';
import { labelOf } from '../format.ts';

type Claim = 'image' | 'video';

/** Formats that show by their first bytes what they are; of others, nothing can be said against a name. */
const BY_EXTENSION: Readonly<Record<Claim, RegExp>> = {
  image: /\.(jpe?g|png|gif|webp|avif|tiff?|bmp|heic)$/i,
  video: /\.(mp4|m4v|mov|webm|mkv|avi)$/i,
};
const BY_TYPE: Readonly<Record<Claim, RegExp>> = {
  image: /^image\/(jpeg|png|gif|webp|avif|tiff|bmp|heic)\b/i,
  video: /^video\/(mp4|quicktime|webm|x-matroska|x-msvideo)\b/i,
};
const NOUNS: Readonly<Record<Claim, string>> = { image: 'an image', video: 'a video' };
/** A film without a picture is sound. */
const KEPT_PROMISES: Readonly<Record<Claim, RegExp>> = { image: /^image\//, video: /^(video|audio)\// };

/**
 * `This is not an image, although it is called one. Its content: PDF document.` for what is called an image, or a video, and is none.
 *
 * @returns null where a file is what it is called, or nothing can be said
 */
export function falseClaimOf(file: StoredFile): string | null {
  const claim = claimOf(file);
  if (claim === null || KEPT_PROMISES[claim].test(file.detectedType ?? '')) return null;
  if (file.size === 0) return 'The file is empty.';
  const { family, long } = labelOf(file);
  // Of what is in no family, the label is only its extension again.
  const content = file.detectedType === null || family === 'other' ? '' : ` Its content: ${long}.`;
  return `This is not ${NOUNS[claim]}, although it is called one.${content}`;
}

function claimOf({ name, contentType }: StoredFile): Claim | null {
  for (const claim of ['image', 'video'] as const) {
    if (BY_EXTENSION[claim].test(name ?? '') || BY_TYPE[claim].test(contentType ?? '')) return claim;
  }
  return null;
}
