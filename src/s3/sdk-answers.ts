/** What the calls through the SDK's client have in common. */
import type { CallOptions, ConnectionPool } from './object-storage.ts';
import { errorOfThrown, S3Error } from './s3-errors.ts';

/** Whatever goes wrong leaves as an S3Error. */
export async function attempt<T>(operation: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (thrown) {
    throw errorOfThrown(operation, thrown);
  }
}

/** A success that lacks what a success must carry is not one that we can rely on. */
export function required<T>(operation: string, value: T | undefined): T {
  if (value === undefined) throw new S3Error(operation, 'IncompleteAnswer', 200, 'unknown');
  return value;
}

/** @returns where the next page starts, undefined at the end; a marker that stands still would loop for ever */
export function nextMarker(
  operation: string,
  truncated: boolean | undefined,
  last: string | undefined,
  next: string | undefined,
): string | undefined {
  if (truncated !== true) return undefined;
  if (next === undefined || next === '' || next === last) {
    throw new S3Error(operation, 'IncompleteAnswer', 200, 'unknown');
  }
  return next;
}

/** What goes with a call through the client to our request handler (`sdk-transport.ts`). */
export interface SdkCallOptions {
  abortSignal?: AbortSignal;
  pool?: ConnectionPool;
}

export function sdkOptions(options: CallOptions | undefined): SdkCallOptions {
  const { signal, pool } = options ?? {};
  return { ...(signal === undefined ? {} : { abortSignal: signal }), ...(pool === undefined ? {} : { pool }) };
}
