import { essenceOf } from '../pipeline/media-type.ts';
import { contentDisposition, isSafeInline } from '../pipeline/upload-metadata.ts';

export interface ContentFacts {
  fileName: string | null;
  /** The client's word. */
  declaredType: string | null;
  /** What the first bytes say. */
  detectedType: string | null;
}

/** What a page could load as code or as a document, were the address in one of its tags. */
const ACTIVE = /html|xml|svg|script|css|wasm|flash|java/;

/**
 * How a stored file is served so that it cannot act as a page of ours, whatever its uploader called it. The first bytes
 * have the first word: a "picture" that is a web page is served as neither.
 */
export function contentHeaders(facts: ContentFacts): Record<string, string> {
  const type = essenceOf(facts.detectedType ?? facts.declaredType ?? 'application/octet-stream');
  const inline = isSafeInline(type);
  const served = !inline && ACTIVE.test(type) ? 'application/octet-stream' : type;
  return {
    'Content-Type': served === 'text/plain' ? 'text/plain; charset=utf-8' : served,
    'Content-Disposition': contentDisposition(facts.fileName, type),
    'X-Content-Type-Options': 'nosniff',
    // Not for what is shown: in a sandbox, browsers do not show a PDF at all.
    ...(inline ? {} : { 'Content-Security-Policy': "default-src 'none'; sandbox" }),
  };
}
