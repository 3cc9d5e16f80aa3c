import { RelayError } from '../errors.ts';
import { TransportError } from './http-transport.ts';

/** refused: S3 answered 4xx and did nothing. unknown: no answer, a 5xx or an abort: S3 may have done it, or do it later. */
export type S3Outcome = 'refused' | 'unknown';

/**
 * The one shape in which a failed S3 call leaves `src/s3`.
 *
 * Two questions, two fields: `outcome` tells what S3 may have done, `retryable` whether sending the same again may
 * help. They differ: a refused TCP connection did nothing for certain and is worth a retry.
 */
export class S3Error extends RelayError {
  override readonly name: string = 'S3Error';
  /** `PutObject`, `UploadPart`, … */
  readonly operation: string;
  /** S3's own code (`NoSuchUpload`, `SlowDown`), or the network's (`ECONNRESET`). */
  readonly s3Code: string;
  readonly httpStatus: number | null;
  readonly outcome: S3Outcome;
  /** The cause is likely to pass: the same request may succeed later. */
  readonly retryable: boolean;

  constructor(
    operation: string,
    s3Code: string,
    httpStatus: number | null,
    outcome: S3Outcome,
    options?: ErrorOptions & { retryable?: boolean },
  ) {
    const retryable = options?.retryable ?? outcome === 'unknown';
    const unavailable = retryable || outcome === 'unknown';
    super(
      unavailable ? 'storage_unavailable' : 'storage_refused',
      unavailable ? 503 : 502,
      `S3 ${operation} failed: ${s3Code}${httpStatus === null ? '' : ` (${httpStatus})`}`,
      options,
    );
    this.operation = operation;
    this.s3Code = s3Code;
    this.httpStatus = httpStatus;
    this.outcome = outcome;
    this.retryable = retryable;
  }
}

/** Refusals that say "not now" rather than "no". A skewed clock is among them: the answer's Date corrects the next signature. */
const PASSING_CODES = new Set([
  'RequestTimeout',
  'RequestTimeTooSkewed',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'TooManyRequests',
  'TooManyRequestsException',
  'OperationAborted',
  'ConditionalRequestConflict',
]);

/** An answer of S3 that was not the success it should have been. */
export function errorOfAnswer(operation: string, httpStatus: number, s3Code: string | null, message: string): S3Error {
  const code = s3Code ?? `Http${httpStatus}`;
  // 3xx is an answer too: a redirect did nothing, and the thin requests do not follow it.
  const refused = httpStatus >= 300 && httpStatus < 500;
  const retryable = refused
    ? httpStatus === 408 || httpStatus === 429 || httpStatus === 307 || PASSING_CODES.has(code)
    : httpStatus !== 501;
  return new S3Error(operation, code, httpStatus, refused ? 'refused' : 'unknown', {
    retryable,
    ...(message === '' ? {} : { cause: new Error(`${code}: ${message}`) }),
  });
}

/** Whatever the SDK or the network threw, as an {@link S3Error}. */
export function errorOfThrown(operation: string, thrown: unknown): S3Error {
  if (thrown instanceof S3Error) return thrown;
  if (thrown instanceof TransportError) return errorOfTransport(operation, thrown);
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const { $metadata, code } = error as Error & { $metadata?: { httpStatusCode?: number }; code?: unknown };
  const httpStatus = $metadata?.httpStatusCode;
  // The SDK's error object drags the whole exchange along (headers with a session token): only its words go on.
  if (httpStatus !== undefined && httpStatus >= 300) {
    return errorOfAnswer(operation, httpStatus, sdkCode(error.name), error.message);
  }
  // The SDK's own word for an abort: it does not say how far the request had come.
  if (error.name === 'AbortError') return new S3Error(operation, 'Aborted', null, 'unknown', { retryable: false });
  if (error.name === 'CredentialsProviderError') return errorOfPreparation(operation, error);
  const s3Code = typeof code === 'string' ? code : error.name;
  return new S3Error(operation, s3Code, httpStatus ?? null, 'unknown', { cause: new Error(error.message) });
}

/**
 * What went wrong while a request was being made ready: certainly nothing was done. Our own input (a key that is not
 * well-formed, a header that HTTP cannot carry) stays wrong; credentials that could not be fetched may come back.
 */
export function errorOfPreparation(operation: string, thrown: unknown): S3Error {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const inputWrong = error instanceof TypeError || error instanceof URIError;
  return new S3Error(operation, inputWrong ? 'InvalidRequest' : error.name, null, 'refused', {
    cause: error,
    retryable: !inputWrong,
  });
}

function errorOfTransport(operation: string, error: TransportError): S3Error {
  return new S3Error(operation, error.code, null, error.sent ? 'unknown' : 'refused', {
    cause: error,
    retryable: error.code !== 'Aborted' && error.code !== 'InvalidRequest',
  });
}

/** What the SDK calls an answer without a body (HEAD) says less than its status. */
function sdkCode(name: string): string | null {
  return name === 'Unknown' || name === 'UnknownError' || name === 'Error' ? null : name;
}
