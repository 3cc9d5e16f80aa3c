/**
 * What the simulation knows better than the store: whose content each committed byte is, what has been promised to
 * clients, and whether the invariants of design section 1 hold. Checked after everything that changes the catalog or
 * the bucket, so that a run stops at the step that broke something.
 */
import type { CommittedPart } from '../../src/catalog/upload-catalog.ts';
import type { FileEvent } from '../../src/pipeline/event-bus.ts';
import type { MemoryTables, MemoryUpload } from '../support/memory-database.ts';
import { hex, type SimulatedBucket } from './simulated-s3.ts';

export class InvariantViolation extends Error {
  override readonly name = 'InvariantViolation';
  readonly invariant: string;

  constructor(invariant: string, message: string) {
    super(`${invariant}: ${message}`);
    this.invariant = invariant;
  }
}

/** Every byte tells whose it is and where it belongs. */
export function contentOf(content: number, lengthBytes: number): Buffer {
  return Buffer.from(Array.from({ length: lengthBytes }, (_, place) => content * 64 + 1 + ((place * 7) % 61)));
}

const NEXT_STATES: Readonly<Record<string, readonly string[]>> = {
  open: ['completing', 'finished', 'terminated', 'expired', 'lost'],
  completing: ['finished', 'terminated', 'lost', 'failed'],
  finished: ['terminated'],
};

export class History {
  readonly #uploadId: string;
  readonly #bucket: SimulatedBucket;
  readonly #contents: readonly Buffer[];
  /** By writers' tokens: which content they bring. */
  readonly #contentOfToken = new Map<string, number>();
  /** What the upload's bytes are, as its commits have decided. */
  #bytes = Buffer.alloc(0);
  #tables: MemoryTables | null = null;
  /** Highest offset that any answer has named. */
  #promisedBytes = 0;
  #finishes = 0;
  readonly #strangers = new Set<string>();
  /** The provider has taken something away: then nothing can hold but that nobody is told otherwise. */
  providerRemoved = false;
  violation: InvariantViolation | null = null;

  constructor(uploadId: string, bucket: SimulatedBucket, contents: readonly Buffer[]) {
    this.#uploadId = uploadId;
    this.#bucket = bucket;
    this.#contents = contents;
  }

  get promisedBytes(): number {
    return this.#promisedBytes;
  }

  registerToken(token: string, content: number): void {
    if (this.#contentOfToken.has(token)) this.#fail('fencing', `the token ${token} is used in a second claim`);
    this.#contentOfToken.set(token, content);
  }

  committed(before: MemoryTables, after: MemoryTables): void {
    this.#tables = after;
    const old = before.uploads.get(this.#uploadId);
    const row = after.uploads.get(this.#uploadId);
    if (row === undefined) return;
    if (old?.objectKey !== row.objectKey) this.#addStrangers(row.objectKey);
    if (old !== undefined) this.#checkTransition(old, row);
    if (row.offsetBytes > this.#bytes.length) this.#extend(old, row);
    const isFinish = row.state === 'finished' && old?.state !== 'finished';
    if (isFinish) this.#finishes += 1;
    if (this.#finishes > 1) this.#fail('V4', 'finished twice');
    if ((row.state === 'finished') !== after.files.has(this.#uploadId)) {
      this.#fail('V4', `state ${row.state} ${after.files.has(this.#uploadId) ? 'with' : 'without'} a file record`);
    }
    this.checkStored();
  }

  #checkTransition(old: MemoryUpload, row: MemoryUpload): void {
    if (row.offsetBytes < old.offsetBytes) {
      this.#fail('V2', `the offset goes from ${old.offsetBytes} back to ${row.offsetBytes}`);
    }
    if (row.state !== old.state && !(NEXT_STATES[old.state] ?? []).includes(row.state)) {
      this.#fail('states', `from ${old.state} to ${row.state}`);
    }
    if (row.contestedTo < old.contestedTo) this.#fail('fencing', 'contested_to goes down');
    if ((row.state === 'lost' || row.state === 'failed') && row.state !== old.state && !this.providerRemoved) {
      this.#fail('V1', `${row.state}, though nobody removed anything`);
    }
  }

  #extend(old: MemoryUpload | undefined, row: MemoryUpload): void {
    const token = old?.writer ?? row.writer;
    const content = token === null ? undefined : this.#contentOfToken.get(token);
    if (content === undefined) {
      this.#fail('V6', `the offset moves to ${row.offsetBytes} although nobody holds the row`);
      return;
    }
    const source = this.#contents[content] as Buffer;
    this.#bytes = Buffer.concat([this.#bytes, source.subarray(this.#bytes.length, row.offsetBytes)]);
  }

  /** Whoever takes over knows from the row which numbers may still arrive. */
  partSent(objectKey: string, partNumber: number): void {
    const row = this.#tables?.uploads.get(this.#uploadId);
    if (row?.state !== 'open' || row.objectKey !== objectKey) return;
    if (partNumber > Math.max(row.sentUpTo, row.contestedTo)) {
      this.#fail('fencing', `part ${partNumber} is sent, and the row says at most ${row.sentUpTo}`);
    }
  }

  /** V1, V5, V6 and V9 as they are at this moment. */
  checkStored(): void {
    const row = this.#tables?.uploads.get(this.#uploadId);
    if (this.#tables === null || row === undefined || this.violation !== null) return;
    if (row.state === 'finished') this.#checkObject(row);
    else if (row.state === 'open' || row.state === 'completing') this.#checkPieces(row, this.#tables);
  }

  #checkObject(row: MemoryUpload): void {
    const object = this.#bucket.objects.get(row.objectKey);
    if (object === undefined) this.#fail('V3', 'finished, and there is no object');
    else if (!object.bytes.equals(this.#bytes) || object.bytes.length !== row.lengthBytes) {
      this.#fail('V3', `the object is ${hex(object.bytes)}, committed was ${hex(this.#bytes)}`);
    }
  }

  #checkPieces(row: MemoryUpload, tables: MemoryTables): void {
    const parts = tables.parts.get(this.#uploadId) ?? [];
    const tail = tables.tails.get(this.#uploadId) ?? [];
    let offset = 0;
    for (const [place, part] of parts.entries()) {
      const isLast = part.partNumber === Math.ceil((row.lengthBytes ?? Number.POSITIVE_INFINITY) / row.partBytes);
      const bytes = isLast ? (row.lengthBytes as number) - offset : row.partBytes;
      if (part.partNumber !== place + 1) this.#fail('V9', `part ${part.partNumber} follows ${place} parts`);
      if (part.bytes !== bytes) this.#fail('V9', `part ${part.partNumber} has ${part.bytes} bytes, not ${bytes}`);
      this.#checkPart(row, part, this.#bytes.subarray(offset, offset + part.bytes));
      offset += part.bytes;
    }
    // While the object is put together, the tail's bytes are in the last part, too.
    for (const segment of row.state === 'completing' ? [] : tail) {
      const expected = this.#bytes.subarray(offset, offset + segment.bytes);
      const object = this.#bucket.objects.get(segment.objectKey);
      if (!object?.bytes.equals(expected)) {
        this.#fail('V1', `segment ${segment.sequence} at ${offset} is ${object === undefined ? 'gone' : 'changed'}`);
      }
      offset += segment.bytes;
    }
    if (offset !== row.offsetBytes) this.#fail('V9', `pieces of ${offset} bytes for the offset ${row.offsetBytes}`);
  }

  /** In the multipart upload, in its copy, or already in the object. */
  #checkPart(row: MemoryUpload, part: CommittedPart, expected: Buffer): void {
    const multipart = row.s3UploadId === null ? undefined : this.#bucket.multiparts.get(row.s3UploadId);
    const stored = multipart?.parts.get(part.partNumber)?.bytes;
    const copy = part.copyKey === null ? undefined : this.#bucket.objects.get(part.copyKey)?.bytes;
    const isSafe = stored?.equals(expected) || copy?.equals(expected);
    if (isSafe || this.providerRemoved) return;
    // A Complete is at work, or done: then the object is what counts.
    if (row.state === 'completing' && multipart === undefined) {
      const object = this.#bucket.objects.get(row.objectKey)?.bytes;
      if (object === undefined || object.equals(this.#bytes)) return;
      this.#fail('V3', `the object is ${hex(object)}, committed was ${hex(this.#bytes)}`);
      return;
    }
    const found = stored === undefined ? 'is gone' : `is ${hex(stored)}`;
    this.#fail('V1', `part ${part.partNumber} ${found}, committed was ${hex(expected)}, and there is no copy`);
  }

  /**
   * An answer that names an offset.
   *
   * @param lengthBytes the length that it names; null: it says that the length is not known yet
   * @param promisedBefore what had been promised when the request was sent
   */
  answered(offsetBytes: number, lengthBytes: number | null, promisedBefore: number, what: string): void {
    const row = this.#tables?.uploads.get(this.#uploadId);
    if (row === undefined || row.offsetBytes < offsetBytes) {
      this.#fail('V1', `${what} names ${offsetBytes}, committed is ${row?.offsetBytes ?? 'nothing'}`);
    }
    if (offsetBytes < promisedBefore) this.#fail('V2', `${what} names ${offsetBytes} after ${promisedBefore}`);
    if (offsetBytes === lengthBytes && row !== undefined && !['finished', 'terminated'].includes(row.state)) {
      this.#fail('V3', `${what} names the length ${offsetBytes} while the upload is ${row.state}`);
    }
    this.#promisedBytes = Math.max(this.#promisedBytes, offsetBytes);
  }

  /** A live event, which everybody reads. */
  told(event: FileEvent): void {
    if (event.type !== 'progress' || event.uploadId !== this.#uploadId) return;
    const state = this.#tables?.uploads.get(this.#uploadId)?.state;
    if (event.offset === event.length && state !== 'finished' && state !== 'terminated') {
      this.#fail('V3', `an event names the length ${event.length} while the upload is ${state}`);
    }
  }

  /** Things in the bucket that are not this upload's, however much like it they look. */
  #addStrangers(objectKey: string): void {
    const strangers = [`${objectKey}2`, `${objectKey}-tail/1`, `x${objectKey}.tail/1`];
    for (const key of strangers) this.#bucket.objects.set(key, { bytes: Buffer.from(key), etag: '"s"', headers: {} });
    const s3UploadId = `stranger-${this.#strangers.size}`;
    this.#bucket.multiparts.set(s3UploadId, { key: `${objectKey}2`, headers: {}, parts: new Map() });
    for (const name of [...strangers, s3UploadId]) this.#strangers.add(name);
  }

  /** When everything has come to rest: nothing is left behind for good. */
  checkRest(): void {
    const row = this.#tables?.uploads.get(this.#uploadId);
    const mayHave = new Set(row?.state === 'finished' ? [row.objectKey, ...this.#strangers] : this.#strangers);
    const objects = [...this.#bucket.objects.keys()].filter((key) => !mayHave.has(key));
    if (objects.length > 0) this.#fail('V5', `left in the bucket: ${objects.join(', ')}`);
    const multiparts = [...this.#bucket.multiparts]
      .filter(([id, { key }]) => !mayHave.has(id) && !key.includes('.tus-relay-canary'))
      .map(([id]) => id);
    const there = new Set([...this.#bucket.objects.keys(), ...this.#bucket.multiparts.keys()]);
    for (const name of this.#strangers) if (!there.has(name)) this.#fail('V5', `a stranger’s ${name} was removed`);
    if (multiparts.length > 0) this.#fail('V5', `multipart uploads left in the bucket: ${multiparts.join(', ')}`);
  }

  fail(invariant: string, message: string): void {
    this.#fail(invariant, message);
  }

  #fail(invariant: string, message: string): void {
    this.violation ??= new InvariantViolation(invariant, message);
  }
}
