/** What the lists have in common in their queries: limits, and names that are percent-encoded on demand. */
import { DevS3Error } from './dev-s3-errors.ts';
import { encodePath, type Query } from './request-target.ts';

const MAX_ENTRIES = 1_000;

/** @returns at most 1,000, which is also what S3 takes when nothing is said */
export function limitOf(query: Query, name: string): number {
  const text = query.get(name);
  if (text === undefined || text === '') return MAX_ENTRIES;
  if (!/^\d{1,10}$/.test(text) || Number(text) > 0x7fffffff) {
    throw new DevS3Error('InvalidArgument', `Argument ${name} must be an integer between 0 and 2147483647`, {
      details: { ArgumentName: name, ArgumentValue: text },
    });
  }
  return Math.min(Number(text), MAX_ENTRIES);
}

/** `encoding-type=url` encodes keys, prefixes and markers: XML cannot hold every character. */
export function encoderOf(query: Query): { encodingType: string | null; encode: (text: string) => string } {
  const type = query.get('encoding-type');
  if (type === undefined || type === '') return { encodingType: null, encode: (text) => text };
  if (type !== 'url') throw new DevS3Error('InvalidArgument', 'Invalid Encoding Method specified in Request');
  return { encodingType: 'url', encode: encodePath };
}
