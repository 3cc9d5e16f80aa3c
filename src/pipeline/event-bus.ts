/** Live events of the files, for `GET /api/events` (design section 5). In one process; a later port crosses nodes. */
export type FileEvent =
  | { type: 'progress'; uploadId: string; offset: number; length: number | null }
  | { type: 'finished'; fileId: string }
  | { type: 'thumbnails'; fileId: string }
  | { type: 'deleted'; fileId: string };

export interface EventBus {
  /** Never throws: an event that nobody hears is no failure, the catalog is the truth. */
  publish(event: FileEvent): void;
  /** @returns a function that ends the subscription */
  subscribe(listener: (event: FileEvent) => void): () => void;
}
