import v8 from 'node:v8';
import { runInNewContext } from 'node:vm';

/** V8's own `gc`. */
export type Collect = (options?: { type: 'minor' | 'major' }) => void;

/** Garbage of buffers that may lie about. */
const TOLERATED_BYTES = 64 * 1024 * 1024;
/** What a collection of the young generation alone has not been enough for. */
const TOO_MUCH_BYTES = 2 * TOLERATED_BYTES;

/**
 * Collects the garbage of buffers when there is more of it than is tolerated. V8 sees the small objects only, and lets
 * hundreds of megabytes hang on them until its heap is full. A collection of the young generation takes a millisecond;
 * the whole heap is looked through only when that has not been enough. (Not too often either: what lives through two
 * collections is old, and then the whole heap has to be looked through for it.)
 */
export class GarbageWatch {
  readonly #collect: Collect;
  /** Buffers that were there before, and stay. */
  readonly #otherBytes: number;

  constructor(collect: Collect = exposeCollect()) {
    this.#collect = collect;
    this.#otherBytes = process.memoryUsage().arrayBuffers;
  }

  /** @param heldBytes bytes of buffers that came since and are in use */
  check(heldBytes: number): void {
    const garbage = process.memoryUsage().arrayBuffers - this.#otherBytes - heldBytes;
    if (garbage > TOLERATED_BYTES) this.#collect({ type: garbage > TOO_MUCH_BYTES ? 'major' : 'minor' });
  }
}

function exposeCollect(): Collect {
  v8.setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}
