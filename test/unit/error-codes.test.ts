import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TUS_CODES } from '../../src/tus/tus-errors.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Rows of the public table: status, our code, the code on the tus endpoint. */
function documented(): Map<string, { status: number; tusCode: string }> {
  const table = readFileSync(join(ROOT, 'docs/error-codes.md'), 'utf8');
  const rows = [...table.matchAll(/^\| (\d{3}) \| `(\w+)` \| (?:`(\w+)`)? ?\|/gm)];
  return new Map(
    rows.map(([, status, code, tusCode]) => [code ?? '', { status: Number(status), tusCode: tusCode ?? '' }]),
  );
}

/** Every code that an error class or a thrown error of `src` names, with its status. */
function thrown(): Map<string, number> {
  const codes = new Map<string, number>();
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' });
  for (const file of files.filter((path) => path.endsWith('.ts') && !path.startsWith('dev-s3'))) {
    const text = readFileSync(join(ROOT, 'src', file), 'utf8');
    for (const [, code, status] of text.matchAll(/'([a-z]+(?:_[a-z]+)+)',\s*([45]\d\d)\b/g))
      codes.set(code ?? '', Number(status));
  }
  return codes;
}

test('every error code is in the public table, with its status', () => {
  const table = documented();
  const found = thrown();
  assert.ok(found.size > 20, `only ${found.size} codes were found in src`);
  for (const [code, status] of found) assert.equal(table.get(code)?.status, status, `${code} (${status})`);
});

test('the public table and the tus endpoint agree on tusd’s codes', () => {
  const table = documented();
  for (const [code, tusCode] of Object.entries(TUS_CODES)) assert.equal(table.get(code)?.tusCode, tusCode, code);
});
