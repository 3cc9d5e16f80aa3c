/** How a stored file is served so that it cannot act as a page of ours, whatever its uploader called it. */
import { create as createContentDisposition } from 'content-disposition';

export interface ContentFacts {
  fileName: string | null;
  /** What the client called it. */
  declaredType: string | null;
  /** What its first bytes say. */
  detectedType: string | null;
}

const MIME_TYPE = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$/;
/** What a browser shows without running anything in it. SVG is an image that can carry scripts. */
const SHOWN_INLINE = /^(image\/(?!svg)|audio\/|video\/|application\/pdf$|text\/plain$)/;
/** What a page could load as code or as a document, were the address in one of its tags. */
const ACTIVE = /html|xml|svg|script|css|wasm|flash|java/;

/**
 * Content-Type, Content-Disposition and what keeps a browser from guessing otherwise. The first bytes have the first
 * word: a "picture" that is a web page is not served as a picture, nor as a page.
 */
export function contentHeaders(facts: ContentFacts): Record<string, string> {
  const type = mimeType(facts.detectedType) ?? mimeType(facts.declaredType) ?? 'application/octet-stream';
  const inline = SHOWN_INLINE.test(type);
  const served = !inline && ACTIVE.test(type) ? 'application/octet-stream' : type;
  return {
    'Content-Type': served === 'text/plain' ? 'text/plain; charset=utf-8' : served,
    'Content-Disposition': createContentDisposition(safeFileName(facts.fileName), {
      type: inline ? 'inline' : 'attachment',
    }),
    'X-Content-Type-Options': 'nosniff',
    // Not for what is shown: a sandbox keeps browsers from showing a PDF at all.
    ...(inline ? {} : { 'Content-Security-Policy': "default-src 'none'; sandbox" }),
  };
}

/** @returns the bare type in small letters, without parameters; null when it is none */
function mimeType(value: string | null): string | null {
  const type = value?.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  return MIME_TYPE.test(type) ? type : null;
}

/** The last segment, without what file systems and headers choke on. */
function safeFileName(fileName: string | null): string | undefined {
  const last = fileName?.split(/[/\\]/).at(-1) ?? '';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be removed
  const printable = last.replace(/[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '').trim();
  return printable === '' ? undefined : [...printable.toWellFormed()].slice(0, 255).join('');
}
