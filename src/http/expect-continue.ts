/**
 * `Expect: 100-continue` (RFC 9110, 10.1.1): a client that waits with its body until it is told that it is wanted. It is
 * told when somebody begins to read it; who is refused before that is spared sending it.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { RequestHandler } from 'express';
import { RelayError } from '../errors.ts';

export class ExpectationFailedError extends RelayError {
  override readonly name = 'ExpectationFailedError';

  constructor() {
    super('expectation_failed', 417, 'the only expectation that this server knows is "100-continue"');
  }
}

/** Without listeners of its own Node would ask for every body before anybody has looked at the request. */
export function continueWhenRead(server: Server): void {
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    const keepsAlive = response.shouldKeepAlive;
    // Who is refused may send the body all the same, or not: nobody could tell where the next request begins.
    response.shouldKeepAlive = false;
    request.once('resume', () => {
      if (response.headersSent) return;
      response.shouldKeepAlive = keepsAlive;
      response.writeContinue();
    });
    server.emit('request', request, response);
  });
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    response.shouldKeepAlive = false;
    server.emit('request', request, response);
  });
}

/** HTTP/1.0 has no expectations: there the header means nothing. */
export const refuseExpectations: RequestHandler = (request, _response, next) => {
  const { expect } = request.headers;
  const isKnown = expect === undefined || expect.toLowerCase() === '100-continue' || request.httpVersion === '1.0';
  next(isKnown ? undefined : new ExpectationFailedError());
};
