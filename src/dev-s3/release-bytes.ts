/**
 * Gives the memory of a buffer back at once. Left to the garbage collector, what has come off a connection piles up to
 * about 100 MiB between its rounds: it counts objects, and the bytes of a buffer are not in one.
 *
 * Nobody may look at the buffer any more. One that is only a part of a larger memory is left alone.
 */
export function releaseBytes(bytes: Buffer): void {
  if (bytes.byteOffset !== 0 || bytes.byteLength !== bytes.buffer.byteLength) return;
  if (bytes.buffer instanceof ArrayBuffer) bytes.buffer.transfer(0);
}
