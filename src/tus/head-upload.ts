import type { OutgoingHttpHeaders } from 'node:http';
import { publicMessageOf, RelayError, UnavailableError } from '../errors.ts';
import type { UploadLocker } from '../locks/upload-locker.ts';
import { systemClock } from '../relay/clock.ts';
import type { UploadRelay } from '../relay/upload-relay.ts';
import type { RunningRequest } from './running-requests.ts';
import { uploadHeaders } from './tus-headers.ts';

/** How long a HEAD waits for a database or a storage that is away for a moment. */
const OUTAGE_WAIT_MS = 10_000;
const TRY_AGAIN_MS = 500;
/** And for one that hangs: longer than an object that is being put together is waited for, which has a 423 of its own. */
const HANG_WAIT_MS = 12_000;

/** 423 where a HEAD cannot be answered now: on any other error tus-js-client starts again from byte 0. */
class OffsetUnknownError extends RelayError {
  override readonly name = 'OffsetUnknownError';

  constructor(cause: RelayError) {
    super(cause.code, 423, publicMessageOf(cause), { cause });
  }
}

/**
 * HEAD: how far the upload is. It takes the lock, so that a request that still reads stores what it has first: the
 * offset is then the one that the client can go on from.
 */
export async function headUpload(
  running: RunningRequest,
  uploadId: string,
  relay: UploadRelay,
  locker: UploadLocker,
): Promise<OutgoingHttpHeaders> {
  const release = await locker.acquire({ uploadId, signal: running.goneSignal });
  try {
    const upload = await lookThroughOutage(relay, uploadId, running.goneSignal);
    return {
      'Cache-Control': 'no-store',
      ...uploadHeaders(upload),
      ...(upload.lengthBytes === null ? { 'Upload-Defer-Length': 1 } : { 'Upload-Length': upload.lengthBytes }),
      ...(upload.metadata === null ? {} : { 'Upload-Metadata': upload.metadata }),
    };
  } finally {
    await release();
  }
}

async function lookThroughOutage(relay: UploadRelay, uploadId: string, signal: AbortSignal) {
  const until = systemClock.now() + OUTAGE_WAIT_MS;
  signal.throwIfAborted();
  const { promise: hang, reject: giveUp } = Promise.withResolvers<never>();
  hang.catch(() => {});
  const onAbort = () => giveUp(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const timer = setTimeout(() => {
    giveUp(new OffsetUnknownError(new UnavailableError('database', 'the database does not answer')));
  }, HANG_WAIT_MS);
  try {
    for (;;) {
      try {
        return await Promise.race([relay.lookToResume(uploadId, signal), hang]);
      } catch (error) {
        if (!(error instanceof RelayError) || error.status < 500) throw error;
        if (systemClock.now() >= until) throw new OffsetUnknownError(error);
        await systemClock.sleep(TRY_AGAIN_MS, signal);
      }
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
