/**
 * The table of variables in the README, made from the schema: `node scripts/config-table.ts` writes it. A test fails
 * while the two differ.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { variables } from '../src/config.ts';

const README = fileURLToPath(new URL('../README.md', import.meta.url));
const BEGIN = '<!-- configuration: written by scripts/config-table.ts -->';
const END = '<!-- end of configuration -->';

export function configTable(): string {
  const rows = Object.entries(variables).map(([name, variable]) => {
    const { preset, about } = variable.meta() as { preset?: string; about: string };
    return `| \`${name}\` | ${preset === undefined ? '' : `\`${preset}\``} | ${about} |`;
  });
  return ['| Variable | Default | What it does |', '| --- | --- | --- |', ...rows].join('\n');
}

/** @returns the README with the table as it should be */
export function withConfigTable(readme: string): string {
  const [before, rest] = readme.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`the README has no "${BEGIN}" … "${END}"`);
  return `${before}${BEGIN}\n${configTable()}\n${END}${after}`;
}

if (import.meta.main) writeFileSync(README, withConfigTable(readFileSync(README, 'utf8')));
