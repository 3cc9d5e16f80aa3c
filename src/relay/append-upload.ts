/**
 * The flow of a byte (design section 3, steps 4 to 8): one claimed upload, one request body, to its end.
 *
 * Whatever ends the body (its own end, a lost connection, silence, another request that waits), what has arrived is
 * stored and committed before the caller lets go of the row. Only what S3 or the catalog refuses is left to the client
 * to repeat, and what S3 does not do in time: lock and memory are not held for good.
 */
import type { TailSegment } from '../catalog/upload-catalog.ts';
import { detectType, TYPE_HEAD_BYTES } from '../pipeline/detect-type.ts';
import type { BodyEnd, BodyReader } from './body-reader.ts';
import { uploadObjectHeaders } from './object-headers.ts';
import { PartBuffer } from './part-buffer.ts';
import { fitsOnePart, tailBytes, wholeParts } from './part-plan.ts';
import { PartUploader, storeUnnamed } from './part-uploader.ts';
import { UploadSizeExceededError } from './relay-errors.ts';
import type { EndOfBytes, UploadLedger } from './upload-ledger.ts';
import { type TailDependencies, UploadTail } from './upload-tail.ts';

const NOTHING = Buffer.alloc(0);

export interface AppendDependencies extends TailDependencies {
  end: EndOfBytes;
  /** More bytes than this no upload may have, whatever its length says. */
  maxUploadBytes: number;
  maxParts: number;
}

export interface AppendResult {
  bodyEnd: BodyEnd;
  /** Some commit has made segments unnecessary: they are discards now. */
  discarded: boolean;
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
): Promise<AppendResult> {
  const append = new Append(ledger, tail, body, dependencies);
  try {
    const bodyEnd = await append.take();
    await append.end();
    return { bodyEnd, discarded: append.discarded };
  } finally {
    await append.settle();
  }
}

class Append {
  readonly #ledger: UploadLedger;
  readonly #body: BodyReader;
  readonly #dependencies: AppendDependencies;
  readonly #uploader: PartUploader;
  /** What is stored of the part that is being filled, in front of what the buffer holds. */
  readonly #tail: UploadTail;
  /** What has arrived of the part and is not stored yet; null: nothing. */
  #buffer: PartBuffer | null = null;
  /** Bytes of the upload that have arrived, committed or not. */
  #position: number;

  constructor(ledger: UploadLedger, tail: readonly TailSegment[], body: BodyReader, dependencies: AppendDependencies) {
    const { storage, retry, evidence, onCommitted } = dependencies;
    this.#ledger = ledger;
    this.#tail = new UploadTail(ledger, tail, dependencies);
    this.#body = body;
    this.#dependencies = dependencies;
    this.#uploader = new PartUploader(ledger, storage, retry, evidence, onCommitted);
    this.#position = ledger.upload.offsetBytes;
  }

  get discarded(): boolean {
    return this.#tail.discarded;
  }

  /** Reads the body to its end, handing every whole part on. */
  async take(): Promise<BodyEnd> {
    try {
      for (;;) {
        await this.#roomForChunk();
        const chunk = await this.#body.next();
        if (chunk === null) break;
        await this.#takeChunk(chunk);
      }
      return this.#body.end ?? 'complete';
    } catch (error) {
      // Asked to let go while it waited for memory: that chunk is the client's again, what came before it is kept.
      if (this.#body.stop.aborted && error === this.#body.stop.reason) return 'stopped';
      throw error;
    }
  }

  /** Nothing is read before there is room for it: then no chunk waits in memory that no budget counts. */
  async #roomForChunk(): Promise<void> {
    // When all is here but the end of the message, a segment would make an open upload that has all its bytes.
    while (this.#position !== this.#ledger.upload.lengthBytes && this.#body.mayBringBytes) {
      this.#buffer ??= this.#openBuffer();
      if (this.#buffer.flushWanted) {
        await this.#flush();
        continue;
      }
      const ready = this.#buffer.readyToRead();
      if (ready === true) return;
      await ready;
    }
  }

  /** The chunk is freed as soon as all of it is copied: what waits here for S3 or the catalog is not to hold it. */
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
      if (tailBytes(this.#position, partBytes) > 0 || this.#position === lengthBytes) continue;
      const full = this.#takeBuffer();
      const number = wholeParts(this.#position, partBytes);
      if (this.#holdNow(rest)) {
        this.#position += rest.length;
        rest = NOTHING;
        this.#body.free(chunk);
      }
      await this.#handOn(full, number);
    }
    this.#body.free(chunk);
  }

  /** @returns false when it is no part's beginning, or has to wait for room */
  #holdNow(rest: Buffer): boolean {
    if (rest.length === 0) return true;
    if (rest.length >= this.#ledger.upload.partBytes) return false;
    this.#buffer = this.#openBuffer();
    return this.#buffer.appendNow(rest);
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
    await this.#tail.store(buffer, false);
  }

  async #handOn(full: PartBuffer | null, number: number): Promise<void> {
    const part = await this.#tail.takeUp(full);
    if (part !== null) await this.#uploader.add(number, part);
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
    const { storage, retry, end, onCommitted, tails } = this.#dependencies;
    const upload = this.#ledger.upload;
    const last = await this.#tail.takeUp(this.#takeBuffer());
    try {
      if (upload.s3UploadId === null && fitsOnePart(upload.lengthBytes, upload.partBytes)) {
        const content = last ?? NO_BYTES;
        const detectedType = await detectType(await content.head(TYPE_HEAD_BYTES));
        await storeUnnamed(this.#ledger, retry, (options) =>
          storage.putObject(upload.objectKey, content, uploadObjectHeaders(upload), options),
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
    if (buffer !== null) await this.#tail.store(buffer, true);
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
}

/** The content of an upload whose deferred length turns out to be 0. */
const NO_BYTES = { bytes: 0, read: () => [], head: () => new Uint8Array() };
