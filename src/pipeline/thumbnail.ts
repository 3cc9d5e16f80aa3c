/**
 * Thumbnails of an image: pure, bytes in, bytes out. The image is a stranger's, so everything that it can make the
 * decoder do is limited: its bytes, its pixels, and the time that it takes. What it does to the process all the same is
 * limited to a process of its own: only thumbnail-worker.ts loads this, and with it the decoder.
 */
import sharp, { type Metadata, type Sharp } from 'sharp';
import { THUMBNAIL_SIZES } from '../catalog/thumbnail-keys.ts';
import {
  imageTooBig,
  MAX_IMAGE_BYTES,
  MAX_IMAGE_PIXELS,
  type MadeThumbnails,
  type Thumbnail,
  UnusableImageError,
} from './thumbnail-terms.ts';

const LARGEST = Math.max(...THUMBNAIL_SIZES);
const WEBP_QUALITY = 80;
const DECODE_SECS = 120;

/**
 * Fits the image into each square of {@link THUMBNAIL_SIZES}, never enlarged. Of an animated image it takes the first
 * frame. The original is decoded once.
 *
 * @throws UnusableImageError when it is broken, no image, or past the limits
 */
export async function makeThumbnails(image: Buffer): Promise<MadeThumbnails> {
  if (image.length > MAX_IMAGE_BYTES) throw imageTooBig(image.length);
  limitLibvips();
  const { pixels, info, metadata } = await decodeSmall(image);
  const thumbnails: Thumbnail[] = [];
  for (const size of THUMBNAIL_SIZES) {
    const small = sharp(pixels, { raw: { width: info.width, height: info.height, channels: info.channels } });
    const encoded = await turnUpright(small, metadata.orientation)
      .resize({ width: size, height: size, fit: 'inside', withoutEnlargement: true })
      .webp({ quality: WEBP_QUALITY })
      .toBuffer({ resolveWithObject: true });
    thumbnails.push({ size, bytes: encoded.data, width: encoded.info.width, height: encoded.info.height });
  }
  return { width: metadata.autoOrient.width, height: metadata.autoOrient.height, thumbnails };
}

/**
 * The image as large as the largest thumbnail, not yet upright: a quarter turn of the original would need all of its
 * pixels in memory, whereas a decoder that goes from top to bottom needs a few rows. (A square bears the turn later.)
 */
async function decodeSmall(image: Buffer) {
  try {
    const decoder = sharp(image, {
      limitInputPixels: MAX_IMAGE_PIXELS,
      sequentialRead: true,
      failOn: 'error', // an image that was cut short is broken; one with an odd colour profile is not
      pages: 1,
    }).timeout({ seconds: DECODE_SECS });
    const metadata = await decoder.metadata();
    checkPixels(metadata);
    const { data, info } = await decoder
      .resize({ width: LARGEST, height: LARGEST, fit: 'inside', withoutEnlargement: true })
      .toColourspace('srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { pixels: data, info, metadata };
  } catch (error) {
    if (error instanceof UnusableImageError) throw error;
    throw explain(error);
  }
}

function checkPixels({ width, height }: Metadata): void {
  if (width * height <= MAX_IMAGE_PIXELS) return;
  throw new UnusableImageError(
    `No preview: the image has ${width} × ${height} pixels, and previews are made up to 100 megapixels.`,
  );
}

/** sharp's errors have no codes, only words. */
function explain(error: unknown): UnusableImageError {
  const message = error instanceof Error ? error.message : '';
  if (message.includes('exceeds pixel limit')) {
    return new UnusableImageError('No preview: the image has more than 100 megapixels.', { cause: error });
  }
  if (message.includes('timeout')) {
    return new UnusableImageError('No preview: the image takes too long to read.', { cause: error });
  }
  return new UnusableImageError('No preview: the image could not be read. It may be damaged.', { cause: error });
}

/** The eight orientations of EXIF 2.32, tag 0x0112. sharp mirrors before it turns. */
function turnUpright(image: Sharp, orientation = 1): Sharp {
  switch (orientation) {
    case 2:
      return image.flop();
    case 3:
      return image.rotate(180);
    case 4:
      return image.flip();
    case 5:
      return image.flip().rotate(90);
    case 6:
      return image.rotate(90);
    case 7:
      return image.flop().rotate(90);
    case 8:
      return image.rotate(270);
    default:
      return image;
  }
}

/** One thread an image, and nothing kept for a next one, which is another image. Costs nothing when repeated. */
function limitLibvips(): void {
  sharp.cache(false);
  sharp.concurrency(1);
}
