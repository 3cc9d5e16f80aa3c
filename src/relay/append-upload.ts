/**
 * The flow of a byte (design section 3, steps 4 to 8): one claimed upload, one request body, to its end.
 *
 * Whatever ends the body (its own end, a lost connection, silence, another request that waits), what has arrived is
 * stored and committed before the caller lets go of the row. Only what S3 or the catalog refuses is left to the client to repeat.
 */
import type { TailSegment } from '../catalog/upload-catalog.ts';
import type { UploadRecord } from '../catalog/upload-record.ts';
import { detectType, TYPE_HEAD_BYTES } from '../pipeline/detect-type.ts';
import type { ObjectStorage } from '../s3/object-storage.ts';
import type { BodyEnd, BodyReader } from './body-reader.ts';
import type { Clock } from './clock.ts';
import { type HeldPayload, joinPayloads } from './held-payload.ts';
import { giveUpIfLost } from './lost-upload.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { uploadObjectHeaders } from './object-headers.ts';
import { PartBuffer } from './part-buffer.ts';
import { fitsOnePart, tailBytes, wholeParts } from './part-plan.ts';
import { PartUploader, storeUnnamed } from './part-uploader.ts';
import { UploadSizeExceededError } from './relay-errors.ts';
import type { StorageEvidence } from './storage-canary.ts';
import { demandWholeTail, MAX_TAIL_SEGMENTS, openSegments, segmentKey, TailDamagedError } from './tail.ts';
import type { TailMemory } from './tail-memory.ts';
import type { EndOfBytes, UploadLedger } from './upload-ledger.ts';

export interface AppendDependencies {
  storage: ObjectStorage;
  clock: Clock;
  /** Asked before bytes that the bucket lacks are believed to be gone. */
  evidence: Pick<StorageEvidence, 'demand'>;
  budget: MemoryBudget;
  tails: TailMemory;
  end: EndOfBytes;
  /** More bytes than this no upload may have, whatever its length says. */
  maxUploadBytes: number;
  maxParts: number;
  /** Called after each commit that moved the offset. */
  onCommitted?: (upload: UploadRecord) => void;
}

/**
 * Afterwards the ledger's upload is as the last commit left it. State `completing`: the object is still to be put
 * together.
 *
 * @param tail the segments of the claimed upload's tail
 * @throws UploadSizeExceededError, UploadGoneError, WriterFencedError, S3Error
 */
export async function appendToUpload(
  ledger: UploadLedger,
  tail: readonly TailSegment[],
  body: BodyReader,
  dependencies: AppendDependencies,
): Promise<BodyEnd> {
  const append = new Append(ledger, tail, body, dependencies);
  try {
    const bodyEnd = await append.take();
    await append.end();
    return bodyEnd;
  } finally {
    await append.settle();
  }
}

class Append {
  readonly #ledger: UploadLedger;
  readonly #body: BodyReader;
  readonly #dependencies: AppendDependencies;
  readonly #uploader: PartUploader;
  /** Committed segments of the part that is being filled, in front of what the buffer holds. */
  #tail: readonly TailSegment[];
  /**
   * Of the newest segment. It goes on counting when a part has taken the tail up: the segments of that part are removed
   * by their keys, at any time, and no other may have one of these.
   */
  #lastSequence: number;
  /** What has arrived of the part and is not stored yet; null: nothing. */
  #buffer: PartBuffer | null = null;
  /** Bytes of the upload that have arrived, committed or not. */
  #position: number;

  constructor(ledger: UploadLedger, tail: readonly TailSegment[], body: BodyReader, dependencies: AppendDependencies) {
    const { storage, clock, evidence, onCommitted } = dependencies;
    this.#ledger = ledger;
    this.#tail = tail;
    this.#lastSequence = tail.at(-1)?.sequence ?? 0;
    this.#body = body;
    this.#dependencies = dependencies;
    this.#uploader = new PartUploader(ledger, storage, clock, evidence, onCommitted);
    this.#position = ledger.upload.offsetBytes;
  }

  /** Reads the body to its end, handing every whole part on. */
  async take(): Promise<BodyEnd> {
    try {
      for (let chunk = await this.#body.next(); chunk !== null; chunk = await this.#body.next()) {
        // Where all is here but the end of the message, a segment would make an open upload that has all its bytes. The
        // end is waited for: until then a byte too much may come.
        const isWhole = this.#position === this.#ledger.upload.lengthBytes;
        if (this.#buffer?.flushWanted && !isWhole) await this.#flush();
        await this.#takeChunk(chunk);
        this.#body.free(chunk);
      }
      return this.#body.end ?? 'complete';
    } catch (error) {
      // Asked to let go while it waited for memory: that chunk is the client's again, what came before it is kept.
      if (this.#body.stop.aborted && error === this.#body.stop.reason) return 'stopped';
      throw error;
    }
  }

  async #takeChunk(chunk: Buffer): Promise<void> {
    const { uploadId, partBytes, lengthBytes } = this.#ledger.upload;
    const { maxUploadBytes, maxParts } = this.#dependencies;
    const limit = lengthBytes ?? Math.min(maxUploadBytes, partBytes * maxParts);
    if (this.#position + chunk.length > limit) throw new UploadSizeExceededError(uploadId, limit);
    let rest = chunk;
    while (rest.length > 0) {
      const taken = rest.subarray(0, partBytes - tailBytes(this.#position, partBytes));
      rest = rest.subarray(taken.length);
      await this.#hold(taken);
      this.#position += taken.length;
      // The part that ends the upload waits for the end of the body: only then is it known that no byte is too much.
      if (tailBytes(this.#position, partBytes) === 0 && this.#position !== lengthBytes) await this.#handOn();
    }
  }

  async #hold(bytes: Buffer): Promise<void> {
    for (;;) {
      this.#buffer ??= this.#openBuffer();
      const held = this.#buffer.append(bytes);
      if (held === true || (await held)) return;
      await this.#flush();
    }
  }

  #openBuffer(): PartBuffer {
    const { partBytes, lengthBytes } = this.#ledger.upload;
    const restOfPart = partBytes - tailBytes(this.#position, partBytes);
    const expected = lengthBytes === null ? restOfPart : Math.min(restOfPart, lengthBytes - this.#position);
    return new PartBuffer(this.#dependencies.budget, expected, () => this.#body.interrupt(), this.#body.stop);
  }

  /** Memory and disk are spent, and this buffer has gone longest without progress: S3 holds it for the time being. */
  async #flush(): Promise<void> {
    const buffer = this.#takeBuffer();
    if (buffer === null) return;
    try {
      await this.#uploader.committed();
    } catch (error) {
      buffer.release();
      throw error;
    }
    await this.#storeSegment(buffer, false);
  }

  async #handOn(): Promise<void> {
    const part = await this.#withTail(this.#takeBuffer());
    if (part !== null) await this.#uploader.add(wholeParts(this.#position, this.#ledger.upload.partBytes), part);
  }

  /** The body is over: stores and commits what is left. */
  async end(): Promise<void> {
    await this.#uploader.committed();
    const { lengthBytes, offsetBytes } = this.#ledger.upload;
    // A body of unknown length that was cut right at the upload's length is as good as whole: no byte can follow it.
    if (this.#position === lengthBytes) await this.#endUpload();
    else if (this.#position > offsetBytes) await this.#storeTail();
  }

  /** Nothing of this request is under way any more when this comes back, and no memory is held. */
  async settle(): Promise<void> {
    this.#buffer?.release();
    this.#buffer = null;
    await this.#uploader.committed().catch(() => {});
  }

  async #endUpload(): Promise<void> {
    const { storage, clock, end, onCommitted, tails } = this.#dependencies;
    const upload = this.#ledger.upload;
    const last = await this.#withTail(this.#takeBuffer());
    try {
      if (upload.s3UploadId === null && fitsOnePart(upload.lengthBytes, upload.partBytes)) {
        const content = last ?? NO_BYTES;
        const detectedType = await detectType(await content.head(TYPE_HEAD_BYTES));
        await storeUnnamed(this.#ledger, clock, () =>
          storage.putObject(upload.objectKey, content, uploadObjectHeaders(upload)),
        );
        await this.#ledger.finishSingle(detectedType, end);
      } else if (last !== null) {
        const number = Math.ceil(this.#position / upload.partBytes);
        const [part, detectedType] = await this.#uploader.storeLast(number, last);
        await this.#ledger.commitLast(part, detectedType, end);
      } else {
        await this.#ledger.commitLast(null, null, end);
      }
    } finally {
      last?.release();
    }
    tails.forget(upload.uploadId);
    onCommitted?.(this.#ledger.upload);
  }

  async #storeTail(): Promise<void> {
    const buffer = this.#takeBuffer();
    if (buffer !== null) await this.#storeSegment(buffer, true);
  }

  /** Stores and commits what the buffer holds as one more segment, or with all of the tail as the only one. */
  async #storeSegment(buffer: HeldPayload, isEnd: boolean): Promise<void> {
    const { storage, clock, tails, onCommitted } = this.#dependencies;
    const { objectKey, uploadId } = this.#ledger.upload;
    const replacesTail = this.#tail.length >= MAX_TAIL_SEGMENTS;
    const sequence = this.#lastSequence + 1;
    this.#lastSequence = sequence;
    const payload = (replacesTail ? await this.#withTail(buffer) : buffer) ?? buffer;
    try {
      const segment = {
        sequence,
        objectKey: segmentKey(objectKey, this.#ledger.token, sequence),
        bytes: payload.bytes,
      };
      await storeUnnamed(this.#ledger, clock, () => storage.putObject(segment.objectKey, payload, {}));
      await this.#ledger.commitTail(segment, replacesTail, isEnd);
      this.#tail = [...this.#tail, segment];
      tails.remember(
        uploadId,
        this.#tail.map((it) => it.objectKey),
        payload,
      );
    } catch (error) {
      payload.release();
      throw error;
    }
    onCommitted?.(this.#ledger.upload);
  }

  /** The buffer as it is sent; the next byte gets a fresh one. */
  #takeBuffer(): PartBuffer | null {
    const buffer = this.#buffer;
    this.#buffer = null;
    if (buffer === null) return null;
    if (buffer.bytes > 0) {
      buffer.seal();
      return buffer;
    }
    buffer.release();
    return null;
  }

  /** Puts the stored tail in front of what follows it: from this node's memory, else from S3. */
  async #withTail(rest: HeldPayload | null): Promise<HeldPayload | null> {
    if (this.#tail.length === 0) return rest;
    const { tails } = this.#dependencies;
    const { upload } = this.#ledger;
    try {
      const front = await this.#openTail();
      this.#tail = [];
      tails.forget(upload.uploadId);
      return joinPayloads(rest === null ? front : [...front, rest]);
    } catch (error) {
      rest?.release();
      throw error;
    }
  }

  /** @throws UploadLostError when the bucket has not what the catalog says it has: the upload has ended then */
  async #openTail(): Promise<HeldPayload[]> {
    const { storage, clock, evidence } = this.#dependencies;
    const { upload } = this.#ledger;
    let opened: HeldPayload[] = [];
    await giveUpIfLost(this.#ledger, storage, clock, evidence, async () => {
      try {
        demandWholeTail(upload, this.#tail);
        opened = await openSegments(this.#dependencies, upload.uploadId, this.#tail);
        return null;
      } catch (error) {
        if (!(error instanceof TailDamagedError)) throw error;
        // Whoever has taken over from us may have taken up the tail, and removed its segments: then nothing is damaged.
        await this.#ledger.look();
        return error.what;
      }
    });
    return opened;
  }
}

/** The content of an upload whose deferred length turns out to be 0. */
const NO_BYTES = { bytes: 0, read: () => [], head: () => new Uint8Array() };
