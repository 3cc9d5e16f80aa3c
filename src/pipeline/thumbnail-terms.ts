/** What is agreed on about thumbnails by those who make them and those who have them made, who never load a decoder. */
import type { THUMBNAIL_SIZES } from '../catalog/thumbnail-keys.ts';

export const MAX_IMAGE_BYTES = 100 * 1024 * 1024;
export const MAX_IMAGE_PIXELS = 100_000_000;

export interface Thumbnail {
  size: (typeof THUMBNAIL_SIZES)[number];
  /** WebP, upright, without metadata. */
  bytes: Buffer;
  width: number;
  height: number;
}

export interface MadeThumbnails {
  /** Pixels of the original as it is to be seen (upright). */
  width: number;
  height: number;
  thumbnails: Thumbnail[];
}

/** The image itself is the reason that there are no thumbnails: trying again does not help. */
export class UnusableImageError extends Error {
  override readonly name = 'UnusableImageError';
  /** A sentence for the user. */
  readonly problem: string;

  constructor(problem: string, options?: ErrorOptions) {
    super(problem, options);
    this.problem = problem;
  }
}

/** What an image says of itself that needs more memory than there was leave for. */
export interface ImageSize {
  width: number;
  height: number;
  /** What decoding it takes: decoded-bytes.ts. */
  decodedBytes: number;
}

/** Known from the header: nothing has been decoded. With more memory it may well be a fine image. */
export class LargeImageError extends Error {
  override readonly name = 'LargeImageError';
  readonly size: ImageSize;

  constructor(size: ImageSize) {
    super(`an image of ${size.width} × ${size.height} pixels needs ${size.decodedBytes} bytes to be decoded`);
    this.size = size;
  }
}

/** The decoder could not get the memory that it asked for. */
export class DecoderMemoryError extends Error {
  override readonly name = 'DecoderMemoryError';
}

/** For what is known to be too big before its bytes are read. */
export function imageTooBig(bytes: number): UnusableImageError {
  return new UnusableImageError(`No preview: the image has ${mebibytes(bytes)}, and previews are made up to 100 MiB.`);
}

/** @param limitBytes the operator's `IMAGE_BYTES` */
export function decodedTooBig({ width, height, decodedBytes }: ImageSize, limitBytes: number): UnusableImageError {
  return new UnusableImageError(
    `No preview: the image has ${width} × ${height} pixels and takes ${mebibytes(decodedBytes)} of memory, ` +
      `and previews are made up to ${mebibytes(limitBytes)}.`,
  );
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 / 1024)} MiB`;
}
