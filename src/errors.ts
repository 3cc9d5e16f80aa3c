/**
 * The errors that several areas share. Each carries a stable code and the HTTP status that the edge answers with
 * (docs/error-codes.md lists them). Messages name what was expected and what was found; never a token, a signed URL
 * or a credential, since they reach logs and clients.
 */

/** An error whose meaning a client may rely on: thrown where the fact is known, turned into HTTP in one place. */
export class RelayError extends Error {
  override readonly name: string = 'RelayError';
  /** Public contract, snake_case: listed in docs/error-codes.md, never reworded. */
  readonly code: string;
  /** What the HTTP edge answers. */
  readonly status: number;

  constructor(code: string, status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.status = status;
  }
}

/**
 * What a client is told of an error. Of a service behind us that is away it is not told which, where and why: the log is.
 */
export function publicMessageOf(error: RelayError): string {
  return error instanceof UnavailableError ? error.publicMessage : error.message;
}

/** The service behind us (database, S3) cannot be reached for now: the client should try again. */
export class UnavailableError extends RelayError {
  override readonly name: string = 'UnavailableError';
  /** What the edge puts into Retry-After, in seconds. */
  readonly retryAfterSecs: number;
  /** Names no address and no reason. */
  readonly publicMessage: string;

  constructor(what: 'database' | 'storage', message: string, options?: ErrorOptions & { retryAfterSecs?: number }) {
    super(`${what}_unavailable`, 503, message, options);
    this.retryAfterSecs = options?.retryAfterSecs ?? 5;
    this.publicMessage = `the ${what} is not available for now: try again`;
  }
}

/** Start-up cannot go on; the message is the one sentence that the operator reads before a non-zero exit. */
export class StartError extends Error {
  override readonly name: string = 'StartError';
}
