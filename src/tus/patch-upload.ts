import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import type { UploadLocker } from '../locks/upload-locker.ts';
import type { UploadRelay } from '../relay/upload-relay.ts';
import { requestBody } from './request-body.ts';
import type { RunningRequest } from './running-requests.ts';
import { TusProtocolError } from './tus-errors.ts';
import { OFFSET_CONTENT_TYPE, readByteCount, refuseChecksum, uploadHeaders } from './tus-headers.ts';

/**
 * PATCH: appends the body at Upload-Offset, under the lock.
 *
 * @returns the headers of a 204; a body that did not come to its end is answered by an error instead, after what
 * arrived of it was stored
 */
export async function patchUpload(
  request: IncomingMessage,
  running: RunningRequest,
  uploadId: string,
  relay: UploadRelay,
  locker: UploadLocker,
): Promise<OutgoingHttpHeaders> {
  if (request.headers['content-type'] !== OFFSET_CONTENT_TYPE) {
    throw new TusProtocolError('invalid_content_type', 415, `the body of a PATCH is ${OFFSET_CONTENT_TYPE}`);
  }
  refuseChecksum(request);
  const offsetBytes = readByteCount(request, 'upload-offset');
  if (offsetBytes === null) throw new TusProtocolError('invalid_offset', 400, 'Upload-Offset is needed');
  const declaredLengthBytes = readByteCount(request, 'upload-length');
  using early = relay.receive(request);
  const release = await locker.acquire({
    uploadId,
    patient: true,
    signal: AbortSignal.any([running.goneSignal, running.stopSignal]),
    onReleaseRequested: () => running.stop('another-request'),
  });
  try {
    const { upload, bodyEnd } = await relay.append({
      uploadId,
      offsetBytes,
      declaredLengthBytes,
      body: requestBody(request, running, early),
    });
    if (upload.state !== 'finished') {
      if (bodyEnd === 'stopped') throw running.stopSignal.reason;
      // Not 408, the protocol's own word for it: tus-js-client gives up on that, and goes on after a 423.
      if (bodyEnd === 'idle')
        throw new TusProtocolError('body_timeout', 423, 'no byte came for too long; what had arrived is stored');
    }
    return uploadHeaders(upload);
  } finally {
    await release();
  }
}
