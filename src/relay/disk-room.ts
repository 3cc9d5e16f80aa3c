/**
 * How far spill files may fill their disk when nobody has said it: they share it with others, such as the embedded
 * database, which must never find it full.
 */
import { statfs } from 'node:fs/promises';

/** The larger of the two is left free. */
const LEFT_FREE_SHARE = 1 / 10;
const LEFT_FREE_BYTES = 1024 ** 3;

/** Others write to the same disk: what was seen there is old after this. */
const LOOK_EVERY_MS = 1_000;
/** And after so many bytes of our own, since other workers write as many meanwhile; or half of what was free. */
const LOOK_AFTER_BYTES = 64 * 1024 ** 2;

export interface DiskFigures {
  totalBytes: number;
  /** For us, not for root alone. */
  freeBytes: number;
}

/** @throws whatever the file system says */
export async function lookAtDisk(dir: string): Promise<DiskFigures> {
  const { bsize, blocks, bavail } = await statfs(dir);
  return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
}

/** @returns bytes that may still be written; 0 where less than enough is free */
export function roomOn({ totalBytes, freeBytes }: DiskFigures): number {
  return Math.max(0, Math.floor(freeBytes - Math.max(totalBytes * LEFT_FREE_SHARE, LEFT_FREE_BYTES)));
}

/** What this process may still write, by the latest look at the disk and what it has written since. */
export class DiskRoom {
  readonly #look: () => Promise<DiskFigures>;
  readonly #now: () => number;
  #roomBytes = 0;
  /** When this little is left of what was seen, it is time to look again. */
  #lookBelowBytes = 0;
  #seenAtMs = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | null = null;
  /** Reserved, and on its way to the disk: the file system does not count it yet. */
  #pendingBytes = 0;

  /** @param now monotonic, in milliseconds */
  constructor(look: () => Promise<DiskFigures>, now: () => number) {
    this.#look = look;
    this.#now = now;
  }

  /** As of the latest look. */
  get bytes(): number {
    return this.#roomBytes;
  }

  /**
   * Looks again when the latest look is old, or when much of what was free then is used.
   *
   * @param ownBytes what this process has on the disk already
   * @param share of what it has and may still write: it may not have more than this afterwards
   * @returns false: there is no room. Else {@link written} is to be called when it is on the disk, or has failed
   */
  reserve(bytes: number, ownBytes = 0, share = 1): boolean | Promise<boolean> {
    const isOld = this.#now() - this.#seenAtMs >= LOOK_EVERY_MS;
    if (!isOld && this.#roomBytes - bytes >= this.#lookBelowBytes) return this.#take(bytes, ownBytes, share);
    return this.look().then(() => this.#take(bytes, ownBytes, share));
  }

  #take(bytes: number, ownBytes: number, share: number): boolean {
    if (bytes > this.#roomBytes || ownBytes + bytes > share * (ownBytes + this.#roomBytes)) return false;
    this.#roomBytes -= bytes;
    this.#pendingBytes += bytes;
    return true;
  }

  written(bytes: number): void {
    this.#pendingBytes -= bytes;
  }

  async look(): Promise<void> {
    this.#looking ??= this.#lookNow().finally(() => {
      this.#looking = null;
    });
    await this.#looking;
  }

  async #lookNow(): Promise<void> {
    const seenAtMs = this.#now();
    const room = roomOn(await this.#look());
    this.#roomBytes = Math.max(0, room - this.#pendingBytes);
    this.#lookBelowBytes = Math.max(this.#roomBytes / 2, this.#roomBytes - LOOK_AFTER_BYTES);
    this.#seenAtMs = seenAtMs;
  }
}
