/** The body of a request: received with back-pressure, freed of its framing, and held against all it was said to be. */
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { PayloadClaim } from './authenticate.ts';
import { AwsChunkedDecoder } from './aws-chunked.ts';
import {
  algorithmOfHeader,
  type Checksum,
  type ChecksumAlgorithm,
  checkedValue,
  type RunningChecksum,
  startChecksum,
} from './checksums.ts';
import { DevS3Error } from './dev-s3-errors.ts';
import { releaseBytes } from './release-bytes.ts';

/** S3's limit for what one PUT may carry. */
export const MAX_BODY_BYTES = 5 * 1024 ** 3;

export interface ReceivedBody {
  bytes: number;
  /** Hex: the ETag. */
  md5: string;
  /** Of the algorithm that the client or the caller named; the caller's comes first. */
  checksum: Checksum | null;
}

export class RequestBody {
  readonly #req: IncomingMessage;
  readonly #headers: IncomingHttpHeaders;
  readonly #claim: PayloadClaim;
  /** Called before the first byte is asked for: `100 Continue`. */
  readonly #begin: () => void;
  /** Called with the number of bytes of the connection so far; a test may cut there. */
  readonly #onBytes: ((bytes: number) => void) | null;
  /** Called when all of it is here and right, before anything is done with it. */
  readonly #received: () => Promise<void>;

  constructor(
    req: IncomingMessage,
    headers: IncomingHttpHeaders,
    claim: PayloadClaim,
    hooks: { begin: () => void; onBytes: ((bytes: number) => void) | null; received: () => Promise<void> },
  ) {
    this.#req = req;
    this.#headers = headers;
    this.#claim = claim;
    this.#begin = hooks.begin;
    this.#onBytes = hooks.onBytes;
    this.#received = hooks.received;
  }

  /**
   * Gives the content to `sink` as it comes in, and the memory of it too. It counts only once this has resolved.
   *
   * @param sink returns a promise when the sender should wait
   * @param wanted a checksum to compute although the client names none
   * @throws DevS3Error MissingContentLength, EntityTooLarge, IncompleteBody, BadDigest, XAmzContentSHA256Mismatch, …
   */
  async receive(
    sink: (bytes: Buffer) => Promise<void> | undefined,
    wanted: ChecksumAlgorithm | null = null,
  ): Promise<ReceivedBody> {
    const bytes = this.#contentBytes();
    const expectations = new Expectations(this.#headers, this.#claim, wanted);
    let seen = 0;
    let waiting: Promise<void> | undefined;
    const take = (content: Buffer) => {
      seen += content.length;
      if (seen > bytes) throw new DevS3Error('IncompleteBody', 'The body is longer than it was said to be.');
      expectations.update(content);
      waiting = sink(content);
    };
    await this.#read(
      (chunk, decoder) => {
        waiting = undefined;
        if (decoder === null) take(chunk);
        else {
          // Copies, since the sink takes what it is given for good, and several pieces may lie in one chunk.
          decoder.push(chunk, (content) => take(Buffer.from(content)));
          releaseBytes(chunk);
        }
        return waiting;
      },
      (decoder) => expectations.setTrailers(decoder.trailers),
    );
    if (seen !== bytes) throw new DevS3Error('IncompleteBody');
    const received = expectations.finish(seen);
    await this.#received();
    return received;
  }

  /**
   * A body that is XML.
   *
   * @param checksumsOf what `x-amz-checksum-…` headers are about: of a Complete it is the object, not the body
   * @throws DevS3Error MaxMessageLengthExceeded and all of {@link receive}
   */
  async text(maxBytes: number, checksumsOf: 'body' | 'object' = 'body'): Promise<string> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const headers = checksumsOf === 'body' ? this.#headers : withoutChecksums(this.#headers);
    const expectations = new Expectations(headers, this.#claim, null);
    const take = (content: Buffer) => {
      bytes += content.length;
      if (bytes > maxBytes) throw new DevS3Error('MaxMessageLengthExceeded');
      expectations.update(content);
      chunks.push(content);
    };
    await this.#read(
      (chunk, decoder) => {
        if (decoder === null) take(chunk);
        else decoder.push(chunk, take);
        return undefined;
      },
      (decoder) => expectations.setTrailers(decoder.trailers),
    );
    expectations.finish(bytes);
    await this.#received();
    return Buffer.concat(chunks).toString('utf8');
  }

  /** For an operation that takes no body. */
  async none(): Promise<void> {
    await this.text(0);
  }

  #contentBytes(): number {
    const name = this.#claim.framing === 'whole' ? 'content-length' : 'x-amz-decoded-content-length';
    const text = this.#headers[name];
    if (typeof text !== 'string' || !/^\d{1,15}$/.test(text)) throw new DevS3Error('MissingContentLength');
    const bytes = Number(text);
    if (bytes > MAX_BODY_BYTES) {
      throw new DevS3Error('EntityTooLarge', undefined, {
        details: { ProposedSize: text, MaxSizeAllowed: String(MAX_BODY_BYTES) },
      });
    }
    return bytes;
  }

  async #read(
    take: (chunk: Buffer, decoder: AwsChunkedDecoder | null) => Promise<void> | undefined,
    finish: (decoder: AwsChunkedDecoder) => void,
  ): Promise<void> {
    const decoder = this.#claim.framing === 'whole' ? null : new AwsChunkedDecoder(this.#claim);
    let bytes = 0;
    this.#begin();
    await pump(this.#req, (chunk) => {
      bytes += chunk.length;
      this.#onBytes?.(bytes);
      return take(chunk, decoder);
    });
    if (decoder !== null) {
      decoder.end();
      finish(decoder);
    }
  }
}

/** Events rather than `for await`: for small bodies the iterator costs more than all the rest of their reception. */
function pump(req: IncomingMessage, take: (chunk: Buffer) => Promise<void> | undefined): Promise<void> {
  if (req.readableEnded) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const settle = (error: unknown) => {
      req.off('data', onData).off('end', onEnd).off('error', onBreak).off('close', onBreak);
      // What is still coming must pass by, or the answer never gets through to a client that only writes.
      req.resume();
      if (error === null) resolve();
      else reject(error);
    };
    const onData = (chunk: Buffer) => {
      try {
        const waiting = take(chunk);
        if (waiting === undefined) return;
        req.pause();
        waiting.then(() => req.resume(), settle);
      } catch (error) {
        settle(error);
      }
    };
    const onEnd = () => settle(null);
    const onBreak = () => settle(new DevS3Error('IncompleteBody'));
    req.on('data', onData).on('end', onEnd).on('error', onBreak).on('close', onBreak);
  });
}

/** All that was said about the content beforehand, or is said in its trailer. */
class Expectations {
  readonly #sha256: { expected: string; hash: ReturnType<typeof createHash> } | null;
  readonly #contentMd5: string | null;
  readonly #md5 = createHash('md5');
  readonly #running = new Map<ChecksumAlgorithm, RunningChecksum>();
  readonly #expected: Checksum[] = [];
  readonly #trailerNames: string[];

  constructor(headers: IncomingHttpHeaders, claim: PayloadClaim, wanted: ChecksumAlgorithm | null) {
    this.#sha256 = claim.sha256 === null ? null : { expected: claim.sha256, hash: createHash('sha256') };
    this.#contentMd5 = checkedMd5(headers['content-md5']);
    if (wanted !== null) this.#running.set(wanted, startChecksum(wanted));
    for (const name in headers) {
      const algorithm = algorithmOfHeader(name);
      if (algorithm !== null) this.#expect(checkedValue(algorithm, String(headers[name])));
    }
    if (this.#expected.length > 1) throw onlyOne();
    this.#trailerNames = claim.trailer ? listOf(headers['x-amz-trailer']) : [];
    for (const name of this.#trailerNames) {
      const algorithm = algorithmOfHeader(name);
      if (algorithm !== null) this.#start(algorithm);
    }
  }

  update(content: Buffer): void {
    this.#md5.update(content);
    this.#sha256?.hash.update(content);
    for (const running of this.#running.values()) running.update(content);
  }

  setTrailers(trailers: ReadonlyMap<string, string>): void {
    const announced = [...this.#trailerNames].sort().join();
    if ([...trailers.keys()].sort().join() !== announced) {
      throw new DevS3Error('MalformedTrailerError', 'The trailing headers are not those of x-amz-trailer.');
    }
    for (const [name, value] of trailers) {
      const algorithm = algorithmOfHeader(name);
      if (algorithm !== null) this.#expect(checkedValue(algorithm, value));
    }
    if (this.#expected.length > 1) throw onlyOne();
  }

  finish(bytes: number): ReceivedBody {
    if (this.#sha256 !== null) {
      const computed = this.#sha256.hash.digest('hex');
      if (computed !== this.#sha256.expected) {
        throw new DevS3Error('XAmzContentSHA256Mismatch', undefined, {
          details: { ClientComputedContentSHA256: this.#sha256.expected, S3ComputedContentSHA256: computed },
        });
      }
    }
    const md5 = this.#md5.digest('hex');
    if (this.#contentMd5 !== null && this.#contentMd5 !== md5) {
      throw new DevS3Error('BadDigest', 'The Content-MD5 you specified did not match what we received.', {
        details: { ExpectedDigest: this.#contentMd5, CalculatedDigest: md5 },
      });
    }
    const computed = [...this.#running].map(([algorithm, running]) => ({ algorithm, value: running.digest() }));
    for (const expected of this.#expected) {
      const actual = computed.find((checksum) => checksum.algorithm === expected.algorithm);
      if (actual?.value !== expected.value) {
        throw new DevS3Error('BadDigest', `The ${expected.algorithm} you specified did not match what we received.`);
      }
    }
    return { bytes, md5, checksum: computed[0] ?? null };
  }

  #expect(checksum: Checksum): void {
    this.#start(checksum.algorithm);
    this.#expected.push(checksum);
  }

  #start(algorithm: ChecksumAlgorithm): void {
    if (!this.#running.has(algorithm)) this.#running.set(algorithm, startChecksum(algorithm));
  }
}

function withoutChecksums(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => algorithmOfHeader(name) === null));
}

/** @returns hex */
function checkedMd5(header: string | string[] | undefined): string | null {
  if (header === undefined) return null;
  const md5 = Buffer.from(String(header), 'base64');
  if (md5.length !== 16) throw new DevS3Error('InvalidDigest', 'The Content-MD5 you specified was invalid.');
  return md5.toString('hex');
}

function listOf(header: string | string[] | undefined): string[] {
  const names = String(header ?? '').split(',');
  return names.map((name) => name.trim().toLowerCase()).filter((name) => name !== '');
}

function onlyOne(): DevS3Error {
  return new DevS3Error('InvalidRequest', 'Expecting a single x-amz-checksum- header.');
}
