import type { Payload } from './object-storage.ts';

/** A payload of chunks that are already in memory; they are neither copied nor joined, so they must not change. */
export function payloadFrom(chunks: readonly Uint8Array[]): Payload {
  let bytes = 0;
  for (const chunk of chunks) bytes += chunk.byteLength;
  return { bytes, read: () => chunks };
}
