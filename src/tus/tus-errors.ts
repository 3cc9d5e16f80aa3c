/**
 * How an error leaves on `/files`: plain text `CODE: message` with tusd's codes (contracts.md 3a), which clients and
 * their users know. docs/error-codes.md lists both columns.
 */
import { publicMessageOf, RelayError, UnavailableError } from '../errors.ts';

export interface TusAnswer {
  status: number;
  /** `CODE: message\n` */
  body: string;
  /** Seconds; null when trying again is of no use, or may happen at once. */
  retryAfterSecs: number | null;
}

/** A header or method that the protocol does not allow. */
export class TusProtocolError extends RelayError {
  override readonly name = 'TusProtocolError';
}

/** Our code → tusd's. What is missing here is `ERR_` and our code in capitals. */
export const TUS_CODES: Readonly<Record<string, string>> = {
  upload_not_found: 'ERR_UPLOAD_NOT_FOUND',
  upload_gone: 'ERR_UPLOAD_GONE',
  upload_locked: 'ERR_UPLOAD_LOCKED',
  upload_completing: 'ERR_UPLOAD_COMPLETING',
  upload_interrupted: 'ERR_UPLOAD_INTERRUPTED',
  upload_taken_over: 'ERR_UPLOAD_INTERRUPTED',
  upload_unfinished: 'ERR_UPLOAD_NOT_FINISHED',
  upload_too_large: 'ERR_MAX_SIZE_EXCEEDED',
  upload_size_exceeded: 'ERR_UPLOAD_SIZE_EXCEEDED',
  offset_mismatch: 'ERR_MISMATCHED_OFFSET',
  invalid_offset: 'ERR_INVALID_OFFSET',
  invalid_upload_length: 'ERR_INVALID_UPLOAD_LENGTH',
  invalid_upload_length_defer: 'ERR_INVALID_UPLOAD_LENGTH_DEFER',
  ambiguous_upload_length: 'ERR_AMBIGUOUS_UPLOAD_LENGTH',
  invalid_metadata: 'ERR_INVALID_METADATA',
  invalid_content_type: 'ERR_INVALID_CONTENT_TYPE',
  unsupported_version: 'ERR_UNSUPPORTED_VERSION',
  concatenation_unsupported: 'ERR_CONCATENATION_UNSUPPORTED',
  checksum_unsupported: 'ERR_CHECKSUM_UNSUPPORTED',
  expectation_failed: 'ERR_EXPECTATION_FAILED',
  body_timeout: 'ERR_READ_TIMEOUT',
  server_shutdown: 'ERR_SERVER_SHUTDOWN',
  method_not_allowed: 'ERR_METHOD_NOT_ALLOWED',
  origin_not_allowed: 'ERR_ORIGIN_NOT_ALLOWED',
  host_not_allowed: 'ERR_HOST_NOT_ALLOWED',
  storage_unavailable: 'ERR_STORAGE_UNAVAILABLE',
  storage_refused: 'ERR_STORAGE_REFUSED',
  database_unavailable: 'ERR_DATABASE_UNAVAILABLE',
};

/** Seconds after which a locked or unavailable upload is worth another try. */
const RETRY_AFTER_SECS = 1;

export function toTusAnswer(error: unknown): TusAnswer {
  if (!(error instanceof RelayError)) {
    return { status: 500, body: 'ERR_INTERNAL_SERVER_ERROR: something went wrong here\n', retryAfterSecs: null };
  }
  const retryAfterSecs =
    error instanceof UnavailableError
      ? error.retryAfterSecs
      : error.status === 423 || error.status === 503
        ? RETRY_AFTER_SECS
        : null;
  return {
    status: error.status,
    body: `${TUS_CODES[error.code] ?? `ERR_${error.code.toUpperCase()}`}: ${publicMessageOf(error)}\n`,
    retryAfterSecs,
  };
}
