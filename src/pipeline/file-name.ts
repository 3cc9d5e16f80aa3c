/** What file systems, the Content-Disposition header and a reader's eye can bear. */
const MAX_NAME_BYTES = 255;
const MAX_EXTENSION_BYTES = 32;

/** C0, DEL, C1, line separators, and the marks that make a name read in another order than it is written. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be removed
const UNSEEN = /[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/**
 * The last segment of what a client calls its file: no folders (of either system), no control characters, composed
 * (NFC), at most 255 bytes of UTF-8; a name that is too long loses its middle, not its extension.
 *
 * @returns null when nothing is left
 */
export function cleanFileName(name: string | null): string | null {
  const segment = name?.split(/[/\\]/).at(-1) ?? '';
  const clean = segment.toWellFormed().replace(UNSEEN, '').normalize('NFC').trim();
  if (clean === '' || /^\.+$/.test(clean)) return null;
  return shorten(clean);
}

function shorten(name: string): string {
  if (Buffer.byteLength(name) <= MAX_NAME_BYTES) return name;
  const dot = name.lastIndexOf('.');
  const extension = dot > 0 && Buffer.byteLength(name.slice(dot)) <= MAX_EXTENSION_BYTES ? name.slice(dot) : '';
  const stem = name.slice(0, name.length - extension.length);
  return `${prefixOf(stem, MAX_NAME_BYTES - Buffer.byteLength(extension))}${extension}`;
}

/** The longest beginning that fits without cutting a visible character (which may be several code points) in two. */
function prefixOf(text: string, maxBytes: number): string {
  let end = 0;
  let bytes = 0;
  for (const { segment } of new Intl.Segmenter(undefined, { granularity: 'grapheme' }).segment(text)) {
    bytes += Buffer.byteLength(segment);
    if (bytes > maxBytes) break;
    end += segment.length;
  }
  return text.slice(0, end);
}
