/** What each variable cannot know for itself: which of them contradict one another, and which were meant for others. */

/** The embedded S3, as an operator writes it out. Unset means the same, but only where nothing else says "production". */
export const EMBEDDED_BUCKET = 'embedded';

/** As the environment has them; empty ones left out. */
type Given = Readonly<Record<string, string>>;

/** @returns a line for each variable that contradicts another one */
export function findContradictions(given: Given, known: readonly string[]): string[] {
  const bucket = given.S3_BUCKET;
  if (bucket === undefined || bucket === EMBEDDED_BUCKET) {
    const found = ['S3_ENDPOINT', 'S3_PROFILE', 'S3_FORCE_PATH_STYLE'].filter((name) => name in given);
    const instead =
      bucket === undefined ? 'S3_BUCKET, which is not set' : 'a bucket of your own, found S3_BUCKET=embedded';
    return [...forgottenBucket(given, known), ...found.map((name) => `${name}: expected together with ${instead}`)];
  }
  const pair = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'] as const;
  return [pair, pair.toReversed()].flatMap(([name = '', other = '']) =>
    !(name in given) && other in given ? [`${name}: expected together with ${other}, found nothing`] : [],
  );
}

/**
 * A node of many, or one that others reach, on the embedded S3 because the bucket's name was forgotten or misspelled:
 * the nodes would share a catalog, and each would keep the objects for itself.
 */
function forgottenBucket(given: Given, known: readonly string[]): string[] {
  if (given.S3_BUCKET !== undefined) return [];
  const production = ['DATABASE_URL', 'REDIS_URL'].filter((name) => name in given);
  if (given.HOST !== undefined && !isLoopbackHost(given.HOST)) production.push(`HOST=${given.HOST}`);
  if (production.length === 0) return [];
  const misspelled = Object.keys(given).filter((name) => nearMiss(name, known) === 'S3_BUCKET');
  const found = misspelled.length === 0 ? 'nothing' : `nothing (but ${misspelled.join(', ')})`;
  return [
    `S3_BUCKET: expected the name of a bucket beside ${production.join(', ')}, found ${found}; S3_BUCKET=${EMBEDDED_BUCKET} is the development S3 on this machine's disk`,
  ];
}

/** What an operator should know of a configuration that can be used. */
export function findWarnings(given: Given, known: readonly string[]): string[] {
  const warnings = Object.keys(given).flatMap((name) => {
    const meant = nearMiss(name, known);
    return meant === null || meant in given ? [] : [`${name} is set, which is no setting of ours: was ${meant} meant?`];
  });
  if (given.DATABASE_URL !== undefined && given.REDIS_URL === undefined) {
    warnings.push(
      'REDIS_URL is not set: nodes wait for one another through Postgres, and a node that is killed holds its uploads for ten seconds (docs/operations.md, "Redis")',
    );
  }
  return warnings;
}

export function isLoopbackHost(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1)$/i.test(host);
}

/** Shorter names look like one another by chance. */
const SHORTEST_NAME = 6;
const MOST_SLIPS = 2;

/** @returns the variable that somebody meant who wrote this one; null for one of ours, and for anything else */
export function nearMiss(name: string, known: readonly string[]): string | null {
  if (known.includes(name) || name.length < SHORTEST_NAME) return null;
  const near = known
    .filter((it) => it.length >= SHORTEST_NAME)
    .map((it) => ({ name: it, slips: slipsBetween(name.toUpperCase(), it) }))
    .filter(({ slips }) => slips <= MOST_SLIPS)
    .toSorted((one, other) => one.slips - other.slips);
  return near[0]?.name ?? null;
}

/** Letters left out, put in or exchanged (Levenshtein), with two neighbours that changed places as one. */
function slipsBetween(one: string, other: string): number {
  const rows: number[][] = [Array.from({ length: other.length + 1 }, (_, column) => column)];
  const at = (row: number, column: number) => rows[row]?.[column] ?? Number.POSITIVE_INFINITY;
  for (let row = 1; row <= one.length; row += 1) {
    rows[row] = [row];
    for (let column = 1; column <= other.length; column += 1) {
      const isSame = one[row - 1] === other[column - 1];
      const swapped = one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1];
      (rows[row] as number[])[column] = Math.min(
        at(row - 1, column) + 1,
        at(row, column - 1) + 1,
        at(row - 1, column - 1) + (isSame ? 0 : 1),
        swapped ? at(row - 2, column - 2) + 1 : Number.POSITIVE_INFINITY,
      );
    }
  }
  return at(one.length, other.length);
}
