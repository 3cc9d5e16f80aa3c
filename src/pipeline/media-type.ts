/** Media types as clients declare them (RFC 9110, section 8.3.1). */

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const QUOTED = '"(?:[^"\\\\]|\\\\.)*"';
const MEDIA_TYPE = new RegExp(`^(${TOKEN}/${TOKEN})((?:[ \\t]*;[ \\t]*${TOKEN}=(?:${TOKEN}|${QUOTED}))*)$`);
const VISIBLE_ASCII = /^[\x20-\x7e]{1,255}$/;

/** @returns the type, in small letters, with its parameters as they are; null when it is not a media type */
export function cleanMediaType(value: string | null): string | null {
  const text = value?.trim() ?? '';
  if (!VISIBLE_ASCII.test(text)) return null;
  const match = MEDIA_TYPE.exec(text);
  return match === null ? null : `${match[1]?.toLowerCase()}${match[2]}`;
}

/** @returns `type/subtype` in small letters, without parameters */
export function essenceOf(mediaType: string): string {
  return (mediaType.split(';', 1)[0] ?? '').trim().toLowerCase();
}
