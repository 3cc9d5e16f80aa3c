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

/** For what is known to be too big before its bytes are read. */
export function imageTooBig(bytes: number): UnusableImageError {
  const mib = Math.ceil(bytes / 1024 / 1024);
  return new UnusableImageError(`No preview: the image has ${mib} MiB, and previews are made up to 100 MiB.`);
}
