/**
 * The `aws-chunked` framing: `size;chunk-signature=…` CRLF, bytes, CRLF, …, a chunk of size 0, then trailing headers
 * ("Signature calculations for the Authorization header: transferring payload in multiple chunks", S3 API Reference).
 */
import { createHash, type Hash } from 'node:crypto';
import { isSame, type PayloadClaim } from './authenticate.ts';
import { DevS3Error } from './dev-s3-errors.ts';

const MAX_LINE_BYTES = 8 * 1024;
const MAX_TRAILER_LINES = 16;
/** S3's rule for every chunk but the last. */
const MIN_CHUNK_BYTES = 8 * 1024;

type State = 'size' | 'data' | 'data-end' | 'trailer' | 'done';

export class AwsChunkedDecoder {
  /** Trailing headers, lower case; complete once {@link end} has returned. */
  readonly trailers = new Map<string, string>();
  readonly #claim: PayloadClaim;
  #state: State = 'size';
  #line = '';
  #left = 0;
  #previousBytes: number | null = null;
  #signature = '';
  #chunkHash: Hash | null = null;
  /** `name:value\n` of each trailing header, as they are signed. */
  #signedTrailers = '';
  #trailerSignature: string | null = null;

  constructor(claim: PayloadClaim) {
    this.#claim = claim;
  }

  /**
   * Takes bytes of the body and gives the content in them to `emit`, without copying. A chunk's bytes are given on
   * before its signature can be checked: they count only once {@link end} has returned.
   */
  push(bytes: Buffer, emit: (content: Buffer) => void): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#state === 'data') {
        const content = bytes.subarray(at, at + this.#left);
        at += content.length;
        this.#left -= content.length;
        this.#chunkHash?.update(content);
        emit(content);
        if (this.#left === 0) this.#state = 'data-end';
      } else {
        const newline = bytes.indexOf(0x0a, at);
        const end = newline === -1 ? bytes.length : newline + 1;
        this.#line += bytes.toString('latin1', at, end);
        at = end;
        if (this.#line.length > MAX_LINE_BYTES) throw malformed('a line of the framing is too long');
        if (newline !== -1) {
          const line = this.#line.replace(/\r?\n$/, '');
          this.#line = '';
          this.#takeLine(line);
        }
      }
    }
  }

  /** The request's body has ended. @throws DevS3Error when the framing has not */
  end(): void {
    // The last empty line may be missing: some clients end right after the final chunk, or after the trailers.
    if (this.#state === 'trailer') {
      if (this.#line !== '') this.#takeLine(this.#line.replace(/\r$/, ''));
      this.#finish();
    }
    if (this.#state !== 'done') throw new DevS3Error('IncompleteBody');
  }

  #takeLine(line: string): void {
    switch (this.#state) {
      case 'size':
        this.#startChunk(line);
        return;
      case 'data-end':
        if (line !== '') throw malformed('a chunk is longer than it says');
        this.#endChunk();
        this.#state = 'size';
        return;
      case 'trailer':
        if (line === '') this.#finish();
        else this.#takeTrailer(line);
        return;
      default:
        if (line !== '') throw malformed('there are bytes after the last chunk');
    }
  }

  #startChunk(line: string): void {
    const match = /^([0-9a-f]{1,12})(?:;chunk-signature=([0-9a-f]{64}))?\s*$/i.exec(line);
    const signed = this.#claim.framing === 'signed-chunks';
    if (match === null || (match[2] !== undefined) !== signed) throw malformed('a chunk does not begin with its size');
    const bytes = Number.parseInt(match[1] ?? '', 16);
    if (bytes > 0 && this.#previousBytes !== null && this.#previousBytes < MIN_CHUNK_BYTES) {
      throw new DevS3Error('InvalidChunkSizeError');
    }
    this.#previousBytes = bytes;
    this.#signature = (match[2] ?? '').toLowerCase();
    this.#chunkHash = signed ? createHash('sha256') : null;
    this.#left = bytes;
    if (bytes > 0) {
      this.#state = 'data';
      return;
    }
    this.#endChunk();
    this.#state = 'trailer';
  }

  #endChunk(): void {
    if (this.#chunkHash === null || this.#claim.chunkSigner === null) return;
    const expected = this.#claim.chunkSigner.next(this.#chunkHash.digest('hex'));
    if (!isSame(expected, this.#signature)) throw new DevS3Error('SignatureDoesNotMatch');
  }

  #takeTrailer(line: string): void {
    const colon = line.indexOf(':');
    if (colon < 1 || this.trailers.size >= MAX_TRAILER_LINES) throw malformed('a trailing header is not well formed');
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (name === 'x-amz-trailer-signature') {
      this.#trailerSignature = value;
      return;
    }
    this.#signedTrailers += `${name}:${value}\n`;
    this.trailers.set(name, value);
  }

  #finish(): void {
    this.#state = 'done';
    if (!this.#claim.trailer) {
      if (this.trailers.size > 0) throw malformed('trailing headers were not announced');
      return;
    }
    if (this.#claim.chunkSigner === null) return;
    const expected = this.#claim.chunkSigner.trailer(this.#signedTrailers);
    if (!isSame(expected, this.#trailerSignature ?? '')) throw new DevS3Error('SignatureDoesNotMatch');
  }
}

function malformed(why: string): DevS3Error {
  return new DevS3Error('InvalidRequest', `The aws-chunked body is not well formed: ${why}.`);
}
