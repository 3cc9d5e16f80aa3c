import type { IncomingMessage } from 'node:http';
import type { RequestBody } from '../relay/body-reader.ts';
import type { EarlyBytes } from '../relay/early-bytes.ts';
import type { RunningRequest } from './running-requests.ts';
import { readContentLength } from './tus-headers.ts';

/** A request's body as the relay takes it, with what may end it. */
export function requestBody(request: IncomingMessage, running: RunningRequest, early: EarlyBytes): RequestBody {
  return {
    source: request,
    declaredBytes: readContentLength(request),
    stop: running.stopSignal,
    gone: running.goneSignal,
    ending: running.endingSignal,
    early,
  };
}
