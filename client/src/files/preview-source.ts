import type { StoredFile } from '../api.ts';

export interface PreviewSource {
  kind: 'image' | 'video' | 'audio';
  url: string;
}

/**
 * What browsers show without running anything in it, by what the first bytes say, never by what somebody called it. SVG
 * is not among it, nor is any kind of document.
 */
const IMAGES = new Set(['image/jpeg', 'image/png', 'image/apng', 'image/webp', 'image/gif', 'image/avif', 'image/bmp']);
const MEDIA =
  /^(video|audio)\/(mp4|webm|ogg|quicktime|x-matroska|mpeg|wav|x-wav|vnd\.wave|flac|x-flac|aac|x-m4a|x-m4v)$/;
/** Larger pictures are shown by their thumbnail: a phone would unpack them to gigabytes. */
const MOST_IMAGE_BYTES = 50 * 1024 * 1024;

/** @returns null for what is not shown in the page */
export function previewOf(file: StoredFile): PreviewSource | null {
  const type = (file.detectedType?.split(';', 1)[0] ?? '').trim().toLowerCase();
  if (type.startsWith('image/')) {
    if (IMAGES.has(type) && file.size <= MOST_IMAGE_BYTES && file.problem === null)
      return { kind: 'image', url: file.url };
    return file.thumbs === null ? null : { kind: 'image', url: file.thumbs['512'] };
  }
  if (!MEDIA.test(type)) return null;
  return { kind: type.startsWith('video/') ? 'video' : 'audio', url: file.url };
}
