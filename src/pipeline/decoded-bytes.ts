/**
 * What an image needs in memory while it is decoded, from its header alone. Measured with flat images of 50 to 90
 * megapixels, sharp 0.35 (libvips 8.18), one thread: the process grew by 1.0 to 1.3 times what is said here, less for
 * images that are decoded row by row.
 */

/** What the decoder reads in the header, as sharp tells it. */
export interface ImageHeader {
  format: string;
  width: number;
  height: number;
  /** With those that the decoder adds, as for a palette. */
  channels: number;
  /** Type of one sample. */
  depth: string;
  /** PNG: interlaced. JPEG: of more than one scan. */
  isProgressive?: boolean | undefined;
  /** JPEG: `4:4:4`, `4:2:0` … */
  chromaSubsampling?: string | undefined;
}

const SAMPLE_BYTES: Readonly<Record<string, number>> = {
  ...{ uchar: 1, char: 1, ushort: 2, short: 2, uint: 4, int: 4, float: 4, complex: 8, double: 8, dpcomplex: 16 },
};
const LARGEST_SAMPLE_BYTES = 16;
/** The decoder of AV1 has frames of its own beside the picture: 18 bytes a pixel of 8 bits, 25 of 12 bits. */
const AV1_FACTOR = 6;
/** JPEG can be decoded at these fractions of its size, as long as that is still larger than the thumbnail. */
const JPEG_SHRINKS = [8, 4, 2];

/** @param thumbnailPixels longest side of what is made of it */
export function decodedBytes(header: ImageHeader, thumbnailPixels: number): number {
  const { format, width, height, channels } = header;
  const picture = width * height * channels * (SAMPLE_BYTES[header.depth] ?? LARGEST_SAMPLE_BYTES);
  switch (format) {
    case 'jpeg':
      return jpegBytes(header, thumbnailPixels);
    case 'gif':
    case 'webp':
      // Their decoders always have four channels.
      return width * height * 4;
    case 'heif':
      return picture * AV1_FACTOR;
    default:
      return picture;
  }
}

/** A JPEG of one scan goes by in rows; of more, the coefficients of all are kept, two bytes each. */
function jpegBytes(
  { width, height, channels, isProgressive, chromaSubsampling }: ImageHeader,
  thumbnailPixels: number,
) {
  const shrink = JPEG_SHRINKS.find((it) => Math.max(width, height) / it >= 2 * thumbnailPixels) ?? 1;
  const decoded = (width * height * channels) / shrink ** 2;
  if (isProgressive !== true) return decoded;
  const perPixel = chromaSubsampling === '4:2:0' && channels === 3 ? 1.5 : channels;
  return width * height * perPixel * 2 + decoded;
}
