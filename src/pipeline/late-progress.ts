import { type FileEvent, uploadIdOf } from './event-bus.ts';

/**
 * How many ended uploads are remembered. Progress is late by a fraction of a second as a rule, by seconds when another
 * node's connection is slow: this is some seconds of the busiest node, and a megabyte or two.
 */
const REMEMBERED = 10_000;

/**
 * Tells progress that comes after the end of its upload, as when another node's last commit is told a moment later than
 * the end. Whoever was told of it would wait for an upload that nobody continues.
 */
export class LateProgress {
  /** The one that ended first is first. */
  readonly #ended = new Set<string>();

  /** To be asked about every event, in their order. */
  isLate(event: FileEvent): boolean {
    if (event.type === 'missed') return false;
    const uploadId = uploadIdOf(event);
    if (event.type === 'progress') return this.#ended.has(uploadId);
    this.#ended.delete(uploadId);
    this.#ended.add(uploadId);
    if (this.#ended.size > REMEMBERED) this.#ended.delete(this.#ended.values().next().value as string);
    return false;
  }
}
