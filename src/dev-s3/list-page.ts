/** One page of a list: keys in order, those with a common prefix up to the delimiter shown as one. */
import { afterPrefix, keyToBlob } from './index-database.ts';

export interface PageQuery {
  prefix: string;
  /** '' for none. */
  delimiter: string;
  /** Where to begin: the least key, as bytes, that may be shown. */
  from: Uint8Array;
  limit: number;
}

export type PageEntry<Item> = { kind: 'item'; item: Item } | { kind: 'prefix'; prefix: string };

export interface Page<Item> {
  entries: PageEntry<Item>[];
  /** Where the next page begins; null when this is the last. */
  next: Buffer | null;
}

/**
 * @param read items from that key on, in order; read again from farther on where a common prefix is skipped
 */
export function readPage<Item extends { key: string }>(
  query: PageQuery,
  read: (from: Uint8Array) => Iterable<Item>,
): Page<Item> {
  const entries: PageEntry<Item>[] = [];
  let from: Uint8Array | null = query.from;
  if (query.limit === 0) return { entries, next: null };
  while (from !== null) {
    let skipTo: Buffer | null | undefined;
    for (const item of read(from)) {
      if (entries.length === query.limit) return { entries, next: keyToBlob(item.key) };
      const prefix = commonPrefix(item.key, query);
      if (prefix === null) {
        entries.push({ kind: 'item', item });
        continue;
      }
      entries.push({ kind: 'prefix', prefix });
      skipTo = afterPrefix(keyToBlob(prefix));
      break;
    }
    from = skipTo ?? null;
  }
  return { entries, next: null };
}

export function itemsOf<Item>(page: Page<Item>): Item[] {
  return page.entries.flatMap((entry) => (entry.kind === 'item' ? [entry.item] : []));
}

export function prefixesOf<Item>(page: Page<Item>): string[] {
  return page.entries.flatMap((entry) => (entry.kind === 'prefix' ? [entry.prefix] : []));
}

/** The last thing that the page shows; null for an empty page. */
export function lastNameOf<Item extends { key: string }>(page: Page<Item>): string | null {
  const last = page.entries.at(-1);
  if (last === undefined) return null;
  return last.kind === 'prefix' ? last.prefix : last.item.key;
}

/** The greater of two byte strings. */
export function later(a: Buffer, b: Buffer): Buffer {
  return Buffer.compare(a, b) >= 0 ? a : b;
}

/** The least key after this one. */
export function afterKey(key: string): Buffer {
  return Buffer.concat([keyToBlob(key), Buffer.of(0)]);
}

function commonPrefix(key: string, { prefix, delimiter }: PageQuery): string | null {
  if (delimiter === '') return null;
  const at = key.indexOf(delimiter, prefix.length);
  return at === -1 ? null : key.slice(0, at + delimiter.length);
}
