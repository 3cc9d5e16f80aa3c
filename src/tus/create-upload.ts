import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { parseUploadMetadata } from '../pipeline/upload-metadata.ts';
import type { UploadRelay } from '../relay/upload-relay.ts';
import { requestBody } from './request-body.ts';
import type { RunningRequest } from './running-requests.ts';
import { TusProtocolError } from './tus-errors.ts';
import { expiryHeaders, OFFSET_CONTENT_TYPE, readByteCount, refuseChecksum } from './tus-headers.ts';

/**
 * POST: creation, creation-with-upload, creation-defer-length.
 *
 * @param locate the address of a new upload
 * @param onBodyFailure told of a body that could not be stored to its end, though the client can go on
 * @returns status 201 with Location, and Upload-Offset when the request had a body and it may be named
 */
export async function createUpload(
  request: IncomingMessage,
  running: RunningRequest,
  relay: UploadRelay,
  locate: (uploadId: string) => string,
  onBodyFailure: (failure: unknown, uploadId: string) => void,
): Promise<OutgoingHttpHeaders> {
  const { headers } = request;
  if (headers['upload-concat'] !== undefined) {
    throw new TusProtocolError(
      'concatenation_unsupported',
      400,
      'this server does not offer the concatenation extension',
    );
  }
  refuseChecksum(request);
  const metadata = readHeader(headers['upload-metadata']);
  parseUploadMetadata(metadata);
  const hasBody = headers['content-type'] === OFFSET_CONTENT_TYPE;
  using early = hasBody ? relay.receive(request) : null;
  const { upload, offsetBytes, failure } = await relay.create({
    owner: 'public',
    lengthBytes: readLength(request),
    metadata,
    body: early === null ? null : requestBody(request, running, early),
    stop: running.stopSignal,
  });
  if (failure !== null) onBodyFailure(failure, upload.uploadId);
  return {
    Location: locate(upload.uploadId),
    ...expiryHeaders(upload),
    // Without the object the whole length is not to be named (V3); tus-js-client then asks with HEAD.
    ...(offsetBytes === null || upload.state === 'completing' ? {} : { 'Upload-Offset': offsetBytes }),
  };
}

/** @returns null for a deferred length */
function readLength(request: IncomingMessage): number | null {
  const deferred = request.headers['upload-defer-length'];
  const lengthBytes = readByteCount(request, 'upload-length');
  if (deferred === undefined) {
    if (lengthBytes !== null) return lengthBytes;
    throw new TusProtocolError('invalid_upload_length', 400, 'Upload-Length or Upload-Defer-Length is needed');
  }
  if (lengthBytes !== null) {
    throw new TusProtocolError('ambiguous_upload_length', 400, 'both Upload-Length and Upload-Defer-Length are given');
  }
  if (deferred !== '1') {
    throw new TusProtocolError('invalid_upload_length_defer', 400, 'Upload-Defer-Length can only be 1');
  }
  return null;
}

function readHeader(value: string | string[] | undefined): string | null {
  const header = Array.isArray(value) ? value.join(', ') : value;
  return header === undefined || header === '' ? null : header;
}
