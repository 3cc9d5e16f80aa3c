import { DevS3Error } from './dev-s3-errors.ts';

export interface ByteRange {
  first: number;
  /** Inclusive. */
  last: number;
}

/**
 * A `Range` header against an object's size.
 *
 * @returns null for the whole: no header, or one that S3 does not heed (several ranges, another unit, not well formed)
 * @throws DevS3Error InvalidRange when no byte of it is there
 */
export function parseRange(header: string | undefined, bytes: number): ByteRange | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '');
  if (match === null) return null;
  const [, from = '', to = ''] = match;
  if (from === '' && to === '') return null;
  if (from === '') {
    const length = Math.min(Number(to), bytes);
    if (length === 0) throw unsatisfiable(header ?? '', bytes);
    return { first: bytes - length, last: bytes - 1 };
  }
  const first = Number(from);
  if (to !== '' && Number(to) < first) return null;
  if (first >= bytes) throw unsatisfiable(header ?? '', bytes);
  return { first, last: to === '' ? bytes - 1 : Math.min(Number(to), bytes - 1) };
}

/**
 * `x-amz-copy-source-range`: both ends must be given and lie within the source.
 *
 * @throws DevS3Error InvalidArgument, InvalidRange
 */
export function parseCopyRange(header: string | undefined, bytes: number): ByteRange | null {
  if (header === undefined) return null;
  const match = /^bytes=(\d+)-(\d+)$/.exec(header);
  if (match === null) {
    throw new DevS3Error(
      'InvalidArgument',
      'The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy',
    );
  }
  const range = { first: Number(match[1]), last: Number(match[2]) };
  if (range.last < range.first || range.last >= bytes) {
    throw new DevS3Error('InvalidArgument', `Range specified is not valid for source object of size: ${bytes}`);
  }
  return range;
}

function unsatisfiable(header: string, bytes: number): DevS3Error {
  return new DevS3Error('InvalidRange', undefined, {
    details: { RangeRequested: header, ActualObjectSize: String(bytes) },
    headers: { 'content-range': `bytes */${bytes}` },
  });
}
