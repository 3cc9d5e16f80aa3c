/**
 * Thumbnails of an image: pure, bytes in, bytes out. The image is a stranger's, so everything that it can make the
 * decoder do is limited: its bytes, its pixels, the memory that they take, and the time. What it does to the process all
 * the same is limited to a process of its own: only thumbnail-worker.ts loads this, and with it the decoder.
 */
import sharp, { type Metadata, type Sharp } from 'sharp';
import { THUMBNAIL_SIZES } from '../catalog/thumbnail-keys.ts';
import { decodedBytes } from './decoded-bytes.ts';
import {
  DecoderMemoryError,
  imageTooBig,
  LargeImageError,
  MAX_IMAGE_BYTES,
  MAX_IMAGE_PIXELS,
  type MadeThumbnails,
  type Thumbnail,
  UnusableImageError,
} from './thumbnail-terms.ts';

const LARGEST = Math.max(...THUMBNAIL_SIZES);
const WEBP_QUALITY = 80;
const DECODE_SECS = 120;
/** Of all that libvips could read, down to other programs' files: what thumbnail-types.ts lets through. */
const LOADERS = ['Jpeg', 'Png', 'Webp', 'Nsgif', 'Tiff', 'Heif'].map((format) => `VipsForeignLoad${format}`);

/**
 * Fits the image into each square of {@link THUMBNAIL_SIZES}, never enlarged. Of an animated image it takes the first
 * frame. The original is decoded once.
 *
 * @param decodeUpToBytes memory that decoding may take by what the header says
 * @throws UnusableImageError when it is broken, no image, or past the limits
 * @throws LargeImageError before anything is decoded
 * @throws DecoderMemoryError
 */
export async function makeThumbnails(image: Buffer, decodeUpToBytes: number): Promise<MadeThumbnails> {
  if (image.length > MAX_IMAGE_BYTES) throw imageTooBig(image.length);
  limitLibvips();
  const { pixels, info, metadata } = await decodeSmall(image, decodeUpToBytes);
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
async function decodeSmall(image: Buffer, decodeUpToBytes: number) {
  try {
    const decoder = sharp(image, {
      limitInputPixels: MAX_IMAGE_PIXELS,
      sequentialRead: true,
      failOn: 'error', // an image that was cut short is broken; one with an odd colour profile is not
      pages: 1,
    }).timeout({ seconds: DECODE_SECS });
    const metadata = await decoder.metadata();
    checkPixels(metadata);
    checkMemory(metadata, decodeUpToBytes);
    const { data, info } = await decoder
      .resize({ width: LARGEST, height: LARGEST, fit: 'inside', withoutEnlargement: true })
      .toColourspace('srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { pixels: data, info, metadata };
  } catch (error) {
    if (error instanceof UnusableImageError || error instanceof LargeImageError) throw error;
    throw explain(error);
  }
}

function checkPixels({ width, height }: Metadata): void {
  if (width * height <= MAX_IMAGE_PIXELS) return;
  throw new UnusableImageError(
    `No preview: the image has ${width} × ${height} pixels, and previews are made up to 100 megapixels.`,
  );
}

function checkMemory(metadata: Metadata, decodeUpToBytes: number): void {
  const { width, height } = metadata;
  const bytes = Math.ceil(decodedBytes(metadata, LARGEST));
  if (bytes > decodeUpToBytes) throw new LargeImageError({ width, height, decodedBytes: bytes });
}

/** sharp's errors have no codes, only words. */
function explain(error: unknown): UnusableImageError | DecoderMemoryError {
  const message = error instanceof Error ? error.message : '';
  if (/out of memory|bad_alloc|allocat/i.test(message)) return new DecoderMemoryError(message, { cause: error });
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

/** One thread an image, no other formats, nothing kept for a next image, which is another one. */
function limitLibvips(): void {
  sharp.cache(false);
  sharp.concurrency(1);
  sharp.block({ operation: ['VipsForeignLoad'] });
  sharp.unblock({ operation: LOADERS });
}
