import type { Payload } from '../s3/object-storage.ts';
import { firstBytes } from './chunk-list.ts';

/** Bytes that wait in memory of the budget, or in a spill file, until somebody lets go of them. */
export interface HeldPayload extends Payload {
  /** All of it is in memory, so that `read` gives plain chunks and never waits for a disk. */
  readonly inMemory: boolean;
  /** The first bytes, at most `count`, for telling the content's type. */
  head(count: number): Uint8Array | Promise<Uint8Array>;
  /** From now on the memory may be taken back whenever somebody needs it: see TailMemory. @returns false when it cannot */
  park(): boolean;
  /** Takes a parked payload into use again. */
  unpark(): void;
  /** Gives memory and file back; the second time it does nothing. Nobody may be reading any more. */
  release(): void;
}

/** Payloads one after the other, as one. Whoever gets it has them all: its release releases them. */
export function joinPayloads(payloads: readonly HeldPayload[]): HeldPayload {
  const [only] = payloads;
  return payloads.length === 1 && only !== undefined ? only : new JoinedPayload(payloads);
}

/** A flat list: joined again and again, for each of thousands of small requests, it is no deeper than after the first. */
export class JoinedPayload implements HeldPayload {
  readonly pieces: readonly HeldPayload[];
  readonly bytes: number;
  readonly inMemory: boolean;

  constructor(payloads: readonly HeldPayload[]) {
    this.pieces = payloads.flatMap((payload) => (payload instanceof JoinedPayload ? payload.pieces : [payload]));
    this.bytes = payloads.reduce((sum, payload) => sum + payload.bytes, 0);
    this.inMemory = payloads.every((payload) => payload.inMemory);
  }

  read(): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
    const readings = this.pieces.map((piece) => piece.read());
    return readings.every((reading) => Symbol.iterator in reading) ? chunksOf(readings) : oneAfterTheOther(readings);
  }

  head(count: number): Uint8Array | Promise<Uint8Array> {
    return firstBytes(this.read(), count);
  }

  park(): boolean {
    const kept = this.pieces.findIndex((piece) => !piece.park());
    if (kept === -1) return true;
    for (const piece of this.pieces.slice(0, kept)) piece.unpark();
    return false;
  }

  unpark(): void {
    for (const piece of this.pieces) piece.unpark();
  }

  release(): void {
    for (const piece of this.pieces) piece.release();
  }
}

function chunksOf(readings: readonly Iterable<Uint8Array>[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (const reading of readings) for (const chunk of reading) chunks.push(chunk);
  return chunks;
}

async function* oneAfterTheOther(
  readings: readonly (Iterable<Uint8Array> | AsyncIterable<Uint8Array>)[],
): AsyncGenerator<Uint8Array> {
  for (const reading of readings) yield* reading;
}
