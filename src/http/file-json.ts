import type { StoredContent } from './file-content.ts';

/** A stored file as the API shows it (design section 5). */
export interface FileJson {
  id: string;
  /** Equal to `id`: a file is what became of an upload. */
  uploadId: string;
  key: string;
  name: string | null;
  /** Bytes. */
  size: number;
  contentType: string | null;
  detectedType: string | null;
  /** Pixels, upright; null for what is not an image. */
  width: number | null;
  height: number | null;
  createdAt: string;
  url: string;
  /** null while there are none, or for what has none. */
  thumbs: Record<ThumbSize, string> | null;
  /** A sentence for the user when processing failed. */
  problem: string | null;
}

export type ThumbSize = '128' | '512';

/** What a record has to tell for it. */
export interface DescribedFile extends StoredContent {
  width: number | null;
  height: number | null;
  problem: string | null;
  createdAt: Date;
  variants: readonly { size: number; objectKey: string }[];
}

/** @param publicUrlBase of a CDN in front of the bucket, without a slash at the end; null: our own routes */
export function describeFile(file: DescribedFile, publicUrlBase: string | null): FileJson {
  const own = `/api/files/${file.fileId}`;
  const urlOf = (key: string, route: string) => (publicUrlBase === null ? route : `${publicUrlBase}/${encodeKey(key)}`);
  const thumbUrl = (size: ThumbSize) => {
    const variant = findVariant(file, size);
    return variant === null ? null : urlOf(variant.objectKey, `${own}/thumb/${size}`);
  };
  const [small, large] = [thumbUrl('128'), thumbUrl('512')];
  return {
    id: file.fileId,
    uploadId: file.fileId,
    key: file.objectKey,
    name: file.fileName,
    size: file.bytes,
    contentType: file.declaredType,
    detectedType: file.detectedType,
    width: file.width,
    height: file.height,
    createdAt: file.createdAt.toISOString(),
    url: urlOf(file.objectKey, `${own}/content`),
    thumbs: small === null || large === null ? null : { '128': small, '512': large },
    problem: file.problem,
  };
}

export function findVariant(file: Pick<DescribedFile, 'variants'>, size: string) {
  return file.variants.find((variant) => String(variant.size) === size) ?? null;
}

function encodeKey(key: string): string {
  return key.split('/').map(encodeURIComponent).join('/');
}
