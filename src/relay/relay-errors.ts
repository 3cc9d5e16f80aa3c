import { RelayError } from '../errors.ts';

export class UploadNotFoundError extends RelayError {
  override readonly name = 'UploadNotFoundError';

  constructor(uploadId: string) {
    super('upload_not_found', 404, `there is no upload ${uploadId}`);
  }
}

/** It was there, and is not any more: expired, or removed by the storage's own rules. */
export class UploadGoneError extends RelayError {
  override readonly name: string = 'UploadGoneError';

  constructor(uploadId: string, why: string) {
    super('upload_gone', 410, `upload ${uploadId} ${why}`);
  }
}

/** The storage has lost what the catalog had promised: said once, by whoever ended the upload. */
export class UploadLostError extends UploadGoneError {
  override readonly name = 'UploadLostError';
}

export class OffsetMismatchError extends RelayError {
  override readonly name = 'OffsetMismatchError';

  /** @param storedOffset null: it may not be named */
  constructor(uploadId: string, sentOffset: number, storedOffset: number | null) {
    super(
      'offset_mismatch',
      409,
      storedOffset === null
        ? `upload ${uploadId}: the request says offset ${sentOffset}, and that is not how far it is`
        : `upload ${uploadId}: the request says offset ${sentOffset}, ${storedOffset} bytes are stored`,
    );
  }
}

/** Another request took the upload over: what this one commits would not count any more. */
export class WriterFencedError extends RelayError {
  override readonly name = 'WriterFencedError';

  constructor(uploadId: string) {
    super('upload_taken_over', 409, `another request has taken over upload ${uploadId}`);
  }
}

/** More bytes than the upload's length. */
export class UploadSizeExceededError extends RelayError {
  override readonly name = 'UploadSizeExceededError';

  constructor(uploadId: string, lengthBytes: number) {
    super('upload_size_exceeded', 413, `the request goes past the length of upload ${uploadId}, ${lengthBytes}`);
  }
}

/** A length that contradicts what the upload already is. */
export class InvalidUploadLengthError extends RelayError {
  override readonly name = 'InvalidUploadLengthError';

  constructor(message: string) {
    super('invalid_upload_length', 400, message);
  }
}

/** Every byte is stored, the object is not put together yet: the server goes on by itself (V3). */
export class UploadCompletingError extends RelayError {
  override readonly name = 'UploadCompletingError';

  constructor(uploadId: string) {
    super('upload_completing', 423, `upload ${uploadId} is being completed`);
  }
}

/** S3 has not what the catalog says it has. Said once, it may be a Complete that is still at work; twice: `lost`. */
export class CompletionMissingError extends UploadCompletingError {}
