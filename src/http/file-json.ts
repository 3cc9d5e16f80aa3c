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
  thumbs: { '128': string; '512': string } | null;
  /** A sentence for the user when processing failed. */
  problem: string | null;
}
