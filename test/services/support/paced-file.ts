/** A file whose bytes come slowly, for uploads that are to be under way until the test has done what it does to them. */
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FileReader } from 'tus-js-client';

const TICK_MS = 300;
/** Of what is left of the file, at each tick: so a file never comes to its end by itself. */
const SHARE = 0.01;

/** What all the files of a test go by. */
export class Pace {
  readonly #free = new AbortController();

  /** From here on the files come as fast as they are taken. */
  free(): void {
    this.#free.abort();
  }

  /** @returns how many bytes of the next `leftBytes` of a file come now; 0: none until the next tick */
  async tick(leftBytes: number): Promise<number> {
    const { signal } = this.#free;
    if (!signal.aborted) await sleep(TICK_MS, undefined, { signal }).catch(() => {});
    return signal.aborted ? leftBytes : Math.min(Math.ceil(leftBytes * SHARE), leftBytes - 1);
  }
}

/** For the option `fileReader` of tus-js-client. */
export function pacedReader(content: Buffer, pace: Pace): FileReader {
  const slice = async (start: number, end: number) => {
    const stop = Math.min(end, content.length);
    // tus-js-client reads the size of what it sends off the body, as it does with its own streams.
    const value = Object.assign(Readable.from(paced(content, start, stop, pace), { objectMode: false }), {
      size: stop - start,
    });
    return { value, done: stop === content.length };
  };
  return { openFile: async () => ({ size: content.length, slice, close: () => {} }) };
}

async function* paced(content: Buffer, start: number, end: number, pace: Pace): AsyncGenerator<Buffer> {
  for (let position = start; position < end; ) {
    const bytes = Math.min(await pace.tick(content.length - position), end - position);
    if (bytes > 0) yield content.subarray(position, position + bytes);
    position += bytes;
  }
}
