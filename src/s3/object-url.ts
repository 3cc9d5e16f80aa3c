/** Percent-encoding as signature version 4 wants it: everything but A–Z a–z 0–9 - . _ ~, in upper case. */
export function encodeUriPart(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** An object key as the path of a request: each segment encoded once, slashes kept, nothing normalised (`a//b`, `..`). */
export function encodeKey(key: string): string {
  return PLAIN_KEY.test(key) ? key : key.split('/').map(encodeUriPart).join('/');
}

/** Our own keys are such: nothing to encode. */
const PLAIN_KEY = /^[\w./~-]*$/;
