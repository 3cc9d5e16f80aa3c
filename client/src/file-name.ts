/** Longer is no extension but a word with a dot before it. */
const LONGEST_EXTENSION = 12;
/** Of the name itself, beside its extension, so many characters stay visible at the end. */
const KEPT_CHARACTERS = 5;

/**
 * Cuts a name in two where it may be shortened: `Screenshot of the ho|liday.png`. What stands before is shown as far
 * as there is room, what stands after is always shown. Never in the middle of a visible character.
 */
export function splitName(name: string): [start: string, end: string] {
  const dot = name.lastIndexOf('.');
  const extension = dot > 0 && name.length - dot <= LONGEST_EXTENSION ? name.slice(dot) : '';
  const stem = name.slice(0, name.length - extension.length);
  const characters = [...new Intl.Segmenter(undefined, { granularity: 'grapheme' }).segment(stem)];
  const cut = characters.at(-KEPT_CHARACTERS)?.index ?? 0;
  return [name.slice(0, cut), name.slice(cut)];
}
