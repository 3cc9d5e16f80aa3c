import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * The first code block of its language in a page of docs/, with what every reader changes changed.
 *
 * @param changes what the text says → what it is here; each has to be there
 */
export function documentedConfig(page: string, language: string, changes: Readonly<Record<string, string>>): string {
  const path = fileURLToPath(new URL(`../../../docs/${page}`, import.meta.url));
  const block = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(readFileSync(path, 'utf8'))?.[1];
  if (block === undefined) throw new Error(`docs/${page} has no block of ${language}`);
  return Object.entries(changes).reduce((text, [written, here]) => {
    if (!text.includes(written)) throw new Error(`the block of docs/${page} does not say: ${written}`);
    return text.replaceAll(written, here);
  }, block);
}
