/** Where the thumbnails of a file lie: known from the file's own key, so that they can be removed without being on record. */

/** Pixels of the squares that they fit into, smallest first. A size that was in use once stays: its objects may be there. */
export const THUMBNAIL_SIZES = [128, 512] as const;

export function thumbnailKey(objectKey: string, size: number): string {
  return `${objectKey}_thumb_${size}`;
}

/** Of all sizes. */
export function thumbnailKeys(objectKey: string): string[] {
  return THUMBNAIL_SIZES.map((size) => thumbnailKey(objectKey, size));
}
