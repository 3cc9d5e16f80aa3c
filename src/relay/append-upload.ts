/**
 * The flow of a byte (design section 3, steps 4 to 8): one claimed upload, one request body, to its end.
 *
 * Whatever ends the body (its own end, a lost connection, silence, another request that waits), what has arrived is
 * stored and committed before the writer lets go. Only what S3 or the catalog refuses is left to the client to repeat.
 */
import type { TailSegment } from '../catalog/upload-catalog.ts';
import type { UploadRecord } from '../catalog/upload-record.ts';
import { detectType, TYPE_HEAD_BYTES } from '../pipeline/detect-type.ts';
import type { ObjectStorage } from '../s3/object-storage.ts';
import type { BodyEnd, BodyReader } from './body-reader.ts';
import type { Clock } from './clock.ts';
import { uploadObjectHeaders } from './object-headers.ts';
import { PartBuffer } from './part-buffer.ts';
import { fitsOnePart, tailBytes, wholeParts } from './part-plan.ts';
import { PartUploader, storeUnnamed } from './part-uploader.ts';
import { UploadSizeExceededError } from './relay-errors.ts';
import { loadTail, MAX_TAIL_SEGMENTS, nextSequence, segmentKey } from './tail.ts';
import type { EndOfBytes, UploadLedger } from './upload-ledger.ts';

/** A writer says that it is alive this often, even when no part of it fills. */
const HEARTBEAT_MS = 60_000;

export interface AppendDependencies {
  storage: ObjectStorage;
  clock: Clock;
  end: EndOfBytes;
  /** More bytes than this no upload may have, whatever its length says. */
  maxUploadBytes: number;
  maxParts: number;
  /** Called after each commit that moved the offset. */
  onCommitted?: (upload: UploadRecord) => void;
}

export interface AppendResult {
  /** As the last commit left it. State `completing`: the object is still to be put together. */
  upload: UploadRecord;
  bodyEnd: BodyEnd;
}

/**
 * @param tail the segments of the claimed upload's tail
 * @throws UploadSizeExceededError, WriterFencedError, S3Error; the upload is then as the last commit left it
 */
export async function appendToUpload(
  ledger: UploadLedger,
  tail: readonly TailSegment[],
  body: BodyReader,
  dependencies: AppendDependencies,
): Promise<AppendResult> {
  const append = new Append(ledger, tail, dependencies);
  try {
    await append.take(body);
    await append.end();
  } finally {
    await append.settle();
    // Should the catalog be away, the token stays: the next claim then treats this writer as one that may still send.
    await ledger.letGo().catch(() => {});
  }
  return { upload: ledger.upload, bodyEnd: body.end ?? 'complete' };
}

class Append {
  readonly #ledger: UploadLedger;
  readonly #tail: readonly TailSegment[];
  readonly #dependencies: AppendDependencies;
  readonly #uploader: PartUploader;
  /** Bytes of the upload that have arrived, committed or not. */
  #position: number;
  /** What has arrived since the last whole part, without the tail that was stored before this request. */
  #buffer = new PartBuffer();
  /** The tail is part of what this request sends: it is loaded at most once. */
  #tailTakenUp = false;

  constructor(ledger: UploadLedger, tail: readonly TailSegment[], dependencies: AppendDependencies) {
    const { storage, clock, onCommitted } = dependencies;
    this.#ledger = ledger;
    this.#tail = tail;
    this.#dependencies = dependencies;
    this.#uploader = new PartUploader(ledger, storage, clock, onCommitted);
    this.#position = ledger.upload.offsetBytes;
  }

  /** Reads the body to its end, handing every whole part on. */
  async take(body: BodyReader): Promise<void> {
    const heartbeat = setInterval(() => {
      // A failure shows at the next commit, which demands the same.
      this.#ledger.look().catch(() => {});
    }, HEARTBEAT_MS);
    try {
      for (let chunk = await body.next(); chunk !== null; chunk = await body.next()) await this.#takeChunk(chunk);
    } finally {
      clearInterval(heartbeat);
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
      this.#buffer.append(taken);
      this.#position += taken.length;
      // The part that ends the upload waits for the end of the body: only then is it known that no byte is too much.
      if (tailBytes(this.#position, partBytes) === 0 && this.#position !== lengthBytes) await this.#handOn();
    }
  }

  async #handOn(): Promise<void> {
    await this.#prependTail();
    const buffer = this.#buffer;
    this.#buffer = new PartBuffer();
    await this.#uploader.add(wholeParts(this.#position, this.#ledger.upload.partBytes), buffer);
  }

  /** The body is over: stores and commits what is left. */
  async end(): Promise<void> {
    await this.#uploader.committed();
    const { lengthBytes, offsetBytes } = this.#ledger.upload;
    // A body of unknown length that was cut right at the upload's length is as good as whole: no byte can follow it.
    if (this.#position === lengthBytes) await this.#endUpload();
    else if (this.#position > offsetBytes) await this.#storeTail();
  }

  /** Nothing of this request is under way any more when this comes back. */
  async settle(): Promise<void> {
    await this.#uploader.committed().catch(() => {});
  }

  async #endUpload(): Promise<void> {
    const { storage, clock, end, onCommitted } = this.#dependencies;
    const upload = this.#ledger.upload;
    await this.#prependTail();
    const buffer = this.#buffer;
    if (upload.s3UploadId === null && fitsOnePart(upload.lengthBytes, upload.partBytes)) {
      const detectedType = await detectType(buffer.head(TYPE_HEAD_BYTES));
      await storeUnnamed(this.#ledger, clock, () =>
        storage.putObject(upload.objectKey, buffer, uploadObjectHeaders(upload)),
      );
      await this.#ledger.finishSingle(detectedType, end);
    } else if (buffer.bytes > 0) {
      const number = Math.ceil(this.#position / upload.partBytes);
      const [part, detectedType] = await this.#uploader.storeLast(number, buffer);
      await this.#ledger.commitLast(part, detectedType, end);
    } else {
      await this.#ledger.commitLast(null, null, end);
    }
    onCommitted?.(this.#ledger.upload);
  }

  async #storeTail(): Promise<void> {
    const { storage, clock, onCommitted } = this.#dependencies;
    const { objectKey, offsetBytes, partBytes } = this.#ledger.upload;
    const tailIsLong = this.#tail.length >= MAX_TAIL_SEGMENTS && tailBytes(offsetBytes, partBytes) > 0;
    if (tailIsLong) await this.#prependTail();
    const sequence = nextSequence(this.#tail);
    const segment = {
      sequence,
      objectKey: segmentKey(objectKey, this.#ledger.token, sequence),
      bytes: this.#buffer.bytes,
    };
    const buffer = this.#buffer;
    await storeUnnamed(this.#ledger, clock, () => storage.putObject(segment.objectKey, buffer, {}));
    await this.#ledger.commitTail(segment, tailIsLong, true);
    onCommitted?.(this.#ledger.upload);
  }

  /** Puts the tail that was stored before this request in front of the part that takes it up. */
  async #prependTail(): Promise<void> {
    const { upload } = this.#ledger;
    if (this.#tailTakenUp || this.#tail.length === 0) return;
    const { storage, clock } = this.#dependencies;
    this.#buffer.prepend(await loadTail(storage, clock, upload, this.#tail));
    this.#tailTakenUp = true;
  }
}
