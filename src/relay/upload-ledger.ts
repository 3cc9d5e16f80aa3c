/**
 * One writer's hold on an upload: the token of its claim, what it knows to be committed, and whether all that it sent
 * to S3 had a definite answer. All commits go through here, so that "may I still?" is asked in one place.
 *
 * A commit whose outcome is unknown (the database went away under it) ends the writer: the client asks with HEAD and
 * goes on from what the row says. The token then stays in the row, and the next claim treats this writer as one that
 * may still be sending.
 */
import { randomUUID } from 'node:crypto';
import type { Database, Db, Trx } from '../catalog/database.ts';
import type { NewFile } from '../catalog/file-catalog.ts';
import type { CommittedPart, Step, TailSegment, UploadCatalogPort } from '../catalog/upload-catalog.ts';
import type { UploadRecord } from '../catalog/upload-record.ts';
import type { FinishedUpload } from '../pipeline/finish.ts';
import type { Clock } from './clock.ts';
import { UploadLostError, WriterFencedError } from './relay-errors.ts';

/** A writer whose last look at the row is older than this looks again before it sends anything to S3. */
const LOOK_AGAIN_MS = 60_000;

/** What is done inside the transactions that end an upload's bytes (V4). */
export interface EndOfBytes {
  /** The record that {@link recordFinished} makes. */
  fileOf(upload: FinishedUpload): NewFile;
  /** The object is there: the file record and the jobs that follow from it. */
  recordFinished(trx: Trx, upload: UploadRecord): Promise<void>;
  /** The object is to be put together: the job that sees to it if this process does not. */
  enqueueCompletion(trx: Trx, uploadId: string): Promise<void>;
}

export class UploadLedger {
  readonly token: string;
  readonly #database: Database;
  readonly #catalog: UploadCatalogPort;
  readonly #clock: Clock;
  #upload: UploadRecord;
  #lastLookMs: number;
  #clean = true;
  /** Objects and multipart uploads that this writer may have stored and no commit has named yet. */
  #unnamed = 0;
  #ended = false;
  /** Another one has the row, or the upload is over: there is nothing of ours to let go of. */
  #gone = false;
  /** The last statement failed: the catalog is away, or the outcome unknown. */
  #catalogFailed = false;

  /**
   * @param claimed the row as this writer's own claim (or creation) wrote it
   * @param claimedAtMs when that statement was sent: the process may have slept since it was answered
   */
  constructor(
    database: Database,
    catalog: UploadCatalogPort,
    clock: Clock,
    claimed: UploadRecord,
    claimedAtMs: number,
  ) {
    if (claimed.writer === null) throw new TypeError('a ledger needs a claimed upload');
    this.token = claimed.writer;
    this.#database = database;
    this.#catalog = catalog;
    this.#clock = clock;
    this.#upload = claimed;
    this.#lastLookMs = claimedAtMs;
  }

  static freshToken(): string {
    return randomUUID();
  }

  /** What this writer's own statements wrote. */
  get upload(): UploadRecord {
    return this.#upload;
  }

  /** It has done the last that it may do, or was fenced. */
  get ended(): boolean {
    return this.#ended;
  }

  /** False once an S3 write of this writer may have been done without our knowing, or has left what no commit names. */
  get clean(): boolean {
    return this.#isCleanBut(0);
  }

  markUnclean(): void {
    this.#clean = false;
  }

  /** What is about to be stored has a key or an id of its own: until a commit names it, only a sweep can find it. */
  beginUnnamed(): void {
    this.#unnamed += 1;
  }

  /** It was certainly not stored. */
  dropUnnamed(): void {
    this.#unnamed -= 1;
  }

  /** Milliseconds since the row was last asked whether it is this writer's, and said yes. */
  get sinceLookMs(): number {
    return this.#clock.now() - this.#lastLookMs;
  }

  /** Before a write to S3 is signed. @throws WriterFencedError */
  async lookBeforeSending(): Promise<void> {
    if (this.#ended) throw new WriterFencedError(this.#upload.uploadId);
    // A process that slept before it read the answer has an old answer.
    while (this.sinceLookMs >= LOOK_AGAIN_MS) await this.look();
  }

  /** Renews the upload's expiry, too. @throws WriterFencedError */
  async look(): Promise<void> {
    await this.#apply(() => this.#catalog.look(this.#upload.uploadId, this.token));
  }

  async commitMultipart(s3UploadId: string, partsAhead: number): Promise<void> {
    const { uploadId } = this.#upload;
    await this.#apply(() =>
      this.#catalog.commitMultipart({ uploadId, token: this.token, s3UploadId, sentUpTo: partsAhead }),
    );
    this.#unnamed -= 1;
    this.#upload = { ...this.#upload, s3UploadId, sentUpTo: Math.max(this.#upload.sentUpTo, partsAhead) };
  }

  async commitPart(part: CommittedPart, sentUpTo: number, detectedType: string | null): Promise<void> {
    const step = this.#step(part.partNumber * this.#upload.partBytes);
    await this.#apply(() => this.#catalog.commitPart({ ...step, part, sentUpTo, detectedType }));
    if (part.copyKey !== null) this.#unnamed -= 1;
    this.#upload = {
      ...this.#upload,
      offsetBytes: step.toBytes,
      sentUpTo: Math.max(this.#upload.sentUpTo, sentUpTo),
    };
  }

  /**
   * Commits a segment of the tail.
   *
   * @param replaced the last segments until now, whose bytes it holds in front of its own
   * @param isEnd the last thing that this writer does: after a clean end it lets go of the row in the same commit
   */
  async commitTail(segment: TailSegment, replaced: readonly TailSegment[], isEnd: boolean): Promise<void> {
    const gain = replaced.reduce((rest, old) => rest - old.bytes, segment.bytes);
    const step = this.#step(this.#upload.offsetBytes + gain);
    const replacesFrom = replaced[0]?.sequence ?? null;
    const cleanEnd = isEnd && this.#isCleanBut(1);
    await this.#apply(() => this.#catalog.commitTail({ ...step, segment, replacesFrom, cleanEnd }));
    this.#unnamed -= 1;
    this.#upload = { ...this.#upload, offsetBytes: step.toBytes, writer: cleanEnd ? null : this.token };
    this.#ended = isEnd;
  }

  /** Every byte is in S3 as parts. The last thing that this writer does. */
  async commitLast(part: CommittedPart | null, detectedType: string | null, end: EndOfBytes): Promise<void> {
    const step = this.#step(this.#upload.lengthBytes as number);
    await this.#database.transaction(async (trx) => {
      const unclean = !this.#isCleanBut(part?.copyKey == null ? 0 : 1);
      await this.#apply(() => this.#catalog.commitLast(trx, { ...step, part, unclean, detectedType }));
      await end.enqueueCompletion(trx, step.uploadId);
    });
    this.#upload = { ...this.#upload, offsetBytes: step.toBytes, state: 'completing', writer: null };
    this.#ended = true;
  }

  /** The one object is stored: the upload is finished. The last thing that this writer does. */
  async finishSingle(detectedType: string | null, end: EndOfBytes): Promise<void> {
    const step = this.#step(this.#upload.lengthBytes as number);
    const unclean = !this.#isCleanBut(1);
    const ending = { ...this.#upload, offsetBytes: step.toBytes };
    const file = end.fileOf({ ...ending, detectedType: this.#upload.detectedType ?? detectedType });
    const send = (handle: Trx | Db, recorded: NewFile | null) =>
      this.#apply(() => this.#catalog.finishSingle(handle, { ...step, unclean, detectedType, file: recorded }));
    // Without jobs all of it is one statement, which is a transaction too.
    const finished = file.thumbnailsPending
      ? await this.#database.transaction(async (trx) => {
          const row = await send(trx, null);
          await end.recordFinished(trx, row);
          return row;
        })
      : await send(this.#database.db, file);
    this.#upload = finished;
    this.#ended = true;
  }

  /**
   * The last call: lets go of the row, if that is still ours to do. After an unclean end the token stays and warns the
   * next writer, which need not wait for us, though: it is told that we are through.
   */
  async letGo(): Promise<void> {
    if (this.#gone || this.#upload.writer === null) return;
    const held = { uploadId: this.#upload.uploadId, token: this.token };
    const clean = this.clean && !this.#ended;
    this.#ended = true;
    this.#gone = true;
    if (clean) {
      await this.#catalog.release(held);
      this.#upload = { ...this.#upload, writer: null };
      // Worth no second wait for a catalog that is away: without it the next writer waits until our silence is noticed.
    } else if (!this.#catalogFailed) await this.#catalog.resign(held);
  }

  /**
   * The storage has lost bytes of the upload: nobody can go on. To be called by {@link giveUpIfLost} alone.
   *
   * @param what is missing, as the error says it
   * @throws UploadLostError, WriterFencedError
   */
  async giveUp(what: string): Promise<never> {
    const { uploadId } = this.#upload;
    await this.#apply(() => this.#catalog.giveUpOpen({ uploadId, token: this.token }));
    this.#ended = true;
    this.#gone = true;
    throw new UploadLostError(uploadId, `was removed by the storage: ${what}`);
  }

  #isCleanBut(unnamed: number): boolean {
    return this.#clean && this.#unnamed === unnamed;
  }

  #step(toBytes: number): Step {
    if (this.#ended) throw new WriterFencedError(this.#upload.uploadId);
    return { uploadId: this.#upload.uploadId, token: this.token, fromBytes: this.#upload.offsetBytes, toBytes };
  }

  /**
   * Sends a statement that demands this writer's token.
   *
   * @param send resolves to false or null when it did not apply
   */
  async #apply<T>(send: () => Promise<T>): Promise<NonNullable<T>> {
    const sentMs = this.#clock.now();
    this.#catalogFailed = true;
    const applied = await send();
    this.#catalogFailed = false;
    if (applied === false || applied == null) {
      // Not ours any more. Nothing is released or removed from here on: what we sent and did not commit is the sweeper's.
      this.#ended = true;
      this.#gone = true;
      throw new WriterFencedError(this.#upload.uploadId);
    }
    // From when it was sent: by the time its answer is read the process may have slept for hours.
    this.#lastLookMs = Math.max(this.#lastLookMs, sentMs);
    return applied;
  }
}
