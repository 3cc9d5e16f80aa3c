/**
 * The bytes of objects and parts: one file each, under a name that is never used twice, so that a file's content never
 * changes and a reader is never disturbed. Which file belongs to what is in the index alone.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, opendirSync, renameSync, rmSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { IncomingFile } from './incoming-file.ts';

export class ObjectFiles {
  /** Being written. Whatever is here when the server starts was cut off by a kill. */
  readonly #incoming: string;
  readonly #files: string;
  /** Readers of each content (a file name or an upload id), and what to remove when the last of them is through. */
  readonly #held = new Map<string, { readers: number; doomed: string[] }>();
  readonly #removals = new Set<Promise<void>>();

  constructor(dataDir: string) {
    this.#incoming = join(dataDir, 'incoming');
    this.#files = join(dataDir, 'files');
    rmSync(this.#incoming, { recursive: true, force: true });
    mkdirSync(this.#incoming, { recursive: true });
    mkdirSync(this.#files, { recursive: true });
  }

  create(): IncomingFile {
    return new IncomingFile(join(this.#incoming, randomUUID()));
  }

  /** Gives a finished file its lasting name. Until the index knows it, it is nobody's. @returns the name */
  keep(writtenPath: string): string {
    const file = randomUUID();
    renameSync(writtenPath, this.pathOf(file));
    return file;
  }

  pathOf(file: string): string {
    return join(this.#files, file);
  }

  /** While somebody reads a content, removing it waits. @returns a function that ends the reading; safe to call twice */
  hold(content: string): () => void {
    const held = this.#held.get(content) ?? { readers: 0, doomed: [] };
    this.#held.set(content, held);
    held.readers++;
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      if (--held.readers > 0) return;
      this.#held.delete(content);
      this.#unlink(held.doomed);
    };
  }

  /** Only once the index does not know these files any more. */
  remove(content: string, files: readonly string[]): void {
    const held = this.#held.get(content);
    if (held === undefined) this.#unlink(files);
    else held.doomed.push(...files);
  }

  /** Removes what a kill left between a file and the index. @returns how many files */
  sweep(inUse: ReadonlySet<string>): number {
    const folder = opendirSync(this.#files);
    let removed = 0;
    try {
      for (let entry = folder.readSync(); entry !== null; entry = folder.readSync()) {
        if (inUse.has(entry.name)) continue;
        rmSync(this.pathOf(entry.name), { force: true, recursive: true });
        removed++;
      }
    } finally {
      folder.closeSync();
    }
    return removed;
  }

  /** Waits for the removals that are under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#removals);
  }

  #unlink(files: readonly string[]): void {
    if (files.length === 0) return;
    // What cannot be removed now is swept at the next start: nobody has to know.
    const removal = removeAll(files.map((file) => this.pathOf(file))).finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
  }
}

/** A few at a time: an object may have 10,000 files. */
async function removeAll(paths: readonly string[]): Promise<void> {
  for (let at = 0; at < paths.length; at += 4) {
    await Promise.all(paths.slice(at, at + 4).map((path) => unlink(path).catch(() => {})));
  }
}
