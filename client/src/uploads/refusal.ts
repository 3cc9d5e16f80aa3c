/** What the server said when it refused: on the tus endpoint `CODE: sentence`, in plain text. */
const CODE = /^[A-Z][A-Z0-9_]{2,63}:\s*/;
/** A sentence; an error page of a proxy in between is none. */
const LONGEST = 300;

/**
 * @param status of the answer; 0 when there was none
 * @param body text of the answer
 * @returns one sentence for the person
 */
export function refusalSentence(status: number, body: string): string {
  const said = saidBy(body);
  if (said !== null) return `The server refused it: ${said}`;
  if (status === 0) return 'The connection broke.';
  return `The server refused it (${status}${PLAIN[status] === undefined ? '' : `, ${PLAIN[status]}`}).`;
}

/** @returns the server's own words, as a sentence; null for what is not in words */
export function saidBy(body: string): string | null {
  const text = body.trim();
  if (text === '' || text.length > LONGEST || /^[<{[]/.test(text)) return null;
  const words = text.replace(CODE, '').trim();
  return words === '' ? null : /[.!?…]$/.test(words) ? words : `${words}.`;
}

const PLAIN: Readonly<Record<number, string>> = {
  401: 'it wants to know who you are',
  403: 'not allowed',
  404: 'there is no such upload',
  410: 'the upload is gone',
  413: 'too large',
  415: 'a type that it does not take',
  507: 'its storage is full',
};
