import { RelayError } from '../errors.ts';

/** refused: S3 answered 4xx and did nothing. unknown: no answer, a 5xx or an abort: S3 may have done it, or do it later. */
export type S3Outcome = 'refused' | 'unknown';

/** The one shape in which a failed S3 call leaves `src/s3`. */
export class S3Error extends RelayError {
  override readonly name: string = 'S3Error';
  /** `PutObject`, `UploadPart`, … */
  readonly operation: string;
  /** S3's own code (`NoSuchUpload`, `SlowDown`), or the network's (`ECONNRESET`). */
  readonly s3Code: string;
  readonly httpStatus: number | null;
  readonly outcome: S3Outcome;

  constructor(
    operation: string,
    s3Code: string,
    httpStatus: number | null,
    outcome: S3Outcome,
    options?: ErrorOptions,
  ) {
    super(
      outcome === 'unknown' ? 'storage_unavailable' : 'storage_refused',
      outcome === 'unknown' ? 503 : 502,
      `S3 ${operation} failed: ${s3Code}${httpStatus === null ? '' : ` (${httpStatus})`}`,
      options,
    );
    this.operation = operation;
    this.s3Code = s3Code;
    this.httpStatus = httpStatus;
    this.outcome = outcome;
  }
}
