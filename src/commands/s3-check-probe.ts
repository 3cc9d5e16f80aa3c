/** One thing that is tried on a bucket. */
import type { CheckSite } from './s3-check-site.ts';

export interface Probe {
  /** S3's own name of the operation where it is one. */
  readonly name: string;
  /** server: nothing works without. direct: uploads that go from a page straight to the bucket. nothing: good to know. */
  readonly neededFor: 'server' | 'direct' | 'nothing';
  /** Of whoever our credentials are, as policies of AWS and most others name it; null: none of its own. */
  readonly permission: string | null;
  /** @returns what to say beside "works"; empty: nothing. @throws ShortcomingError or S3Error when it does not */
  run(site: CheckSite): Promise<string>;
  /** What the product does without, or what to set, where it does not work. */
  readonly otherwise: string;
}

/** The service answered, but not as it should. */
export class ShortcomingError extends Error {
  override readonly name = 'ShortcomingError';
}

export function expect(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new ShortcomingError(otherwise);
}
