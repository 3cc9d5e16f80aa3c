import type { UploadLocker } from '../locks/upload-locker.ts';
import type { UploadRelay } from '../relay/upload-relay.ts';
import type { RunningRequest } from './running-requests.ts';

/** DELETE: ends the upload in any state, under the lock: a request that still writes lets go first. */
export async function terminateUpload(
  running: RunningRequest,
  uploadId: string,
  relay: UploadRelay,
  locker: UploadLocker,
): Promise<void> {
  const release = await locker.acquire({ uploadId, signal: running.goneSignal });
  try {
    await relay.terminate(uploadId);
  } finally {
    await release();
  }
}
