/** A worker that has served for so long did not die of its start. */
export const SETTLED_MS = 60_000;
const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 30_000;

/**
 * How long the place of a dead worker stays empty: not at all after a long life, longer and longer when it dies young
 * again and again, as with a database that is down.
 *
 * @param youngDeaths in a row, before {@link SETTLED_MS} of serving
 */
export function restartDelayMs(youngDeaths: number): number {
  return youngDeaths === 0 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** (youngDeaths - 1), MAX_DELAY_MS);
}
