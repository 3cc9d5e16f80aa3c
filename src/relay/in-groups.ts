/**
 * Does the work for all of them, so many at a time.
 *
 * @returns the results in the order of the items
 * @throws the first failure, when nothing of its group is under way any more
 */
export async function inGroups<T, R>(items: readonly T[], size: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let first = 0; first < items.length; first += size) {
    const group = await Promise.allSettled(items.slice(first, first + size).map(work));
    for (const one of group) {
      if (one.status === 'rejected') throw one.reason;
      results.push(one.value);
    }
  }
  return results;
}
