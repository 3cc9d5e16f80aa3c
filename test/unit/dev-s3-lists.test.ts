import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { afterPrefix, keyToBlob } from '../../src/dev-s3/index-database.ts';
import { itemsOf, type Page, type PageQuery, prefixesOf, readPage } from '../../src/dev-s3/list-page.ts';

interface Item {
  key: string;
}

/** Few characters, so that prefixes are met often; U+FFFD and an emoji to go beyond one byte and one UTF-16 unit. */
const key = fc.string({ unit: fc.constantFrom('a', 'b', '/', 'ü', '\ufffd', '😀'), minLength: 1, maxLength: 6 });

test('pages of any size, one after the other, are the list without pages', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(key, { maxLength: 30 }),
      fc.constantFrom('', 'a', 'a/', 'ü'),
      fc.constantFrom('', '/', 'b', 'a/'),
      fc.integer({ min: 1, max: 5 }),
      (keys, prefix, delimiter, limit) => {
        const read = reader(keys, prefix);
        const expected = listedAtOnce(keys, prefix, delimiter);
        const seen: string[] = [];
        let from: Buffer | null = keyToBlob(prefix);
        while (from !== null) {
          const page: Page<Item> = readPage({ prefix, delimiter, limit, from } satisfies PageQuery, read);
          assert.ok(page.entries.length <= limit);
          assert.ok(page.entries.length > 0 || page.next === null, 'a page without entries has no successor');
          seen.push(...itemsOf(page).map((item) => item.key), ...prefixesOf(page));
          from = page.next;
        }
        assert.deepEqual(seen.sort(), expected.sort());
      },
    ),
  );
});

test('the bytes after a prefix are the least that are beyond all that begins with it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 4 }), fc.uint8Array({ maxLength: 3 }), (prefix, more) => {
      const after = afterPrefix(prefix);
      const longer = Buffer.concat([prefix, more]);
      if (after === null) assert.ok(prefix.every((byte) => byte === 0xff));
      else assert.ok(Buffer.compare(longer, after) < 0);
    }),
  );
  assert.deepEqual(afterPrefix(Buffer.from([0x61, 0xff])), Buffer.from([0x62]));
});

/** The index, in memory: keys with the prefix in the order of their bytes. */
function reader(keys: readonly string[], prefix: string): (from: Uint8Array) => Item[] {
  const sorted = keys.filter((it) => it.startsWith(prefix)).sort((a, b) => Buffer.compare(keyToBlob(a), keyToBlob(b)));
  return (from) => sorted.filter((it) => Buffer.compare(keyToBlob(it), from) >= 0).map((it) => ({ key: it }));
}

function listedAtOnce(keys: readonly string[], prefix: string, delimiter: string): string[] {
  const names = keys
    .filter((it) => it.startsWith(prefix))
    .map((it) => {
      const at = delimiter === '' ? -1 : it.indexOf(delimiter, prefix.length);
      return at === -1 ? it : it.slice(0, at + delimiter.length);
    });
  return [...new Set(names)];
}
