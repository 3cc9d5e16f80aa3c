/**
 * Types that sharp's own binaries decode, by what the first bytes say; the client's word decides nothing here.
 *
 * Not SVG: it is a program for a renderer (references to other files, text that unfolds without end), not pixels, and
 * the first bytes show it as mere XML. Not HEIC: the binaries come without its patented decoder.
 */
const READABLE = new Set([
  'image/jpeg',
  'image/png',
  'image/apng',
  'image/webp',
  'image/gif',
  'image/avif',
  'image/tiff',
]);

export function canHaveThumbnails(detectedType: string | null): boolean {
  return detectedType !== null && READABLE.has(detectedType);
}
