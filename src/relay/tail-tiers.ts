/**
 * How many segments of a tail the next one takes up: a pure decision, so that what it costs can be tested.
 *
 * A tail that is never merged would be thousands of objects; one that is always rewritten whole would cost a small
 * request at the end of a large part as much as the part. So segments are merged with others of their size, as in a
 * log-structured store. A segment's tier is the logarithm of its bytes; the tail goes from high tiers to low ones, and
 * of one tier there are fewer than `fanOut` segments:
 *
 * - the next segment takes up the ones right in front of it that are of a lower tier, and those of its own tier when it
 *   would be the `fanOut`th of them. Each byte that is written again is then in a higher tier than before;
 * - what has reached a `settledPerPart`th of the part is settled: it stays as it is until the part takes it up.
 *
 * Hence, for parts of P bytes, with s = P / settledPerPart:
 *
 * - a byte is written again at most once for each tier between its own segment's and that of s, and once more;
 * - one request reads and writes again less than s bytes;
 * - a tail has at most settledPerPart settled segments, and (fanOut − 1) of each tier below.
 */
export interface TailTiers {
  /** At least 2. */
  readonly fanOut: number;
  /** At least 1: with 1 a segment is settled by the part alone. */
  readonly settledPerPart: number;
}

/** Of a part of 525 MiB one request writes again 8.2 MiB at most, and the tail has no more than 120 segments. */
export const TAIL_TIERS: TailTiers = { fanOut: 8, settledPerPart: 64 };

/**
 * Any tail will do, also one that was not made by this rule: then fewer than 2 s bytes are taken up.
 *
 * @param tail bytes of the segments, in order
 * @param nextBytes what the next one brings by itself
 * @returns how many of the last segments are rewritten together with it
 */
export function countToMerge(
  tail: readonly number[],
  nextBytes: number,
  partBytes: number,
  { fanOut, settledPerPart }: TailTiers,
): number {
  const settledBytes = Math.ceil(partBytes / settledPerPart);
  const loose = looseEnd(tail, settledBytes);
  const looseBytes = loose.reduce((sum, bytes) => sum + bytes, 0);
  if (looseBytes + nextBytes >= settledBytes) return loose.length;
  let merged = 0;
  for (let bytes = nextBytes; ; ) {
    const reach = reachOf(loose, merged, tierOf(bytes, fanOut), fanOut);
    if (reach === merged) return merged;
    for (; merged < reach; merged += 1) bytes += loose[merged] as number;
  }
}

/** Segments that are not settled, newest first: in a tail of this rule together fewer bytes than a settled one. */
function looseEnd(tail: readonly number[], settledBytes: number): number[] {
  const loose: number[] = [];
  let looseBytes = 0;
  for (const bytes of tail.toReversed()) {
    if (bytes >= settledBytes || looseBytes >= settledBytes) break;
    loose.push(bytes);
    looseBytes += bytes;
  }
  return loose;
}

/** @returns how far a segment of this tier, which has taken up the first `merged`, goes in one step */
function reachOf(loose: readonly number[], merged: number, tier: number, fanOut: number): number {
  let lower = merged;
  while (lower < loose.length && tierOf(loose[lower] as number, fanOut) < tier) lower += 1;
  let end = lower;
  let peers = 1;
  for (; end < loose.length; end += 1) {
    const other = tierOf(loose[end] as number, fanOut);
    if (other > tier) break;
    if (other === tier) peers += 1;
  }
  return peers >= fanOut ? end : lower;
}

/** The whole part of its logarithm to the base `fanOut`. */
function tierOf(bytes: number, fanOut: number): number {
  let tier = 0;
  for (let rest = bytes; rest >= fanOut; rest /= fanOut) tier += 1;
  return tier;
}
