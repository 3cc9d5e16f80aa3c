/** What a crash test says to its server beside HTTP; each is answered by one message. */
import type { Moment } from './step-probe.ts';

export type Command =
  | { kind: 'arm'; step: number; moment: Moment }
  /** The time of all open uploads is over, as if a day had passed. */
  | { kind: 'expire'; butNot: string[] }
  | { kind: 'report' };

export interface CatalogReport {
  uploads: {
    uploadId: string;
    state: string;
    objectKey: string;
    offsetBytes: number;
    /** Rows of parts and tails. */
    pieces: number;
  }[];
  files: { fileId: string; objectKey: string; bytes: number }[];
  /** What is still to be removed from the bucket, or to be looked at once more. */
  discards: number;
  /** The server has marked the bucket as its own, which it does some time after its first start. */
  marked: boolean;
}
