import type { TusOptions } from '@uppy/tus';
import { watchForStall } from './stall-watch.ts';

/** Uploads at the same time. Browsers open six connections to a server over HTTP/1.1, and the page needs some too. */
const PARALLEL_UPLOADS = 3;

/** Quick at first, then every few seconds for as long as the page is open: an upload is given up by people only. */
const RETRY_DELAYS_MS = [200, 500, 1_000, 2_000, ...new Array<number>(20_000).fill(3_000)];

/** Is told how the requests of each file fare; by Uppy's file id. */
export interface RequestWatcher {
  requestBegan(fileId: string): void;
  answered(fileId: string): void;
  /** It is going to be tried again. @param body of the answer; '' when there was none */
  wentAway(fileId: string, body: string): void;
}

/** How files travel: tus, resumed from the offset that the server holds, whatever broke. */
export function resumableUpload(endpoint: string, watcher: RequestWatcher): Omit<TusOptions<Meta, Body>, 'id'> {
  const fileOf = new WeakMap<object, string>();
  return {
    endpoint,
    limit: PARALLEL_UPLOADS,
    chunkSize: Number.POSITIVE_INFINITY,
    retryDelays: RETRY_DELAYS_MS,
    removeFingerprintOnSuccess: true,
    allowedMetaFields: ['name', 'type'],
    onBeforeRequest: (request, file) => {
      watchForStall(request.getUnderlyingObject());
      fileOf.set(request, file.id);
      watcher.requestBegan(file.id);
    },
    onAfterResponse: (request, response) => {
      keepUpload(request.getMethod(), response.getStatus());
      const fileId = fileOf.get(request);
      if (fileId !== undefined && response.getStatus() < 400) watcher.answered(fileId);
    },
    onShouldRetry: (error, _attempt, _options, decide) => {
      const willRetry = decide(error);
      const fileId = error.originalRequest === null ? undefined : fileOf.get(error.originalRequest);
      if (willRetry && fileId !== undefined) watcher.wentAway(fileId, error.originalResponse?.getBody() ?? '');
      return willRetry;
    },
  };
}

type Meta = Record<string, unknown>;
type Body = Record<string, unknown>;

/**
 * tus-js-client takes any refusal of a HEAD but 423 to mean that the upload is gone, and starts again from byte 0. A
 * 5xx or a 429 (a proxy in front of a server that restarts) says nothing of the kind: an error here makes it ask again.
 */
export function keepUpload(method: string, status: number): void {
  if (method === 'HEAD' && (status >= 500 || status === 429 || status === 408)) {
    throw new Error(`the server cannot tell the offset now (${status})`);
  }
}
