import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Request, Response } from 'express';
import { RelayError } from '../errors.ts';
import { setOriginHeaders } from './cors.ts';
import type { Downloads } from './downloads.ts';
import { sendContent } from './file-content.ts';
import { FileNotFoundError, type FileSource } from './file-routes.ts';
import type { OriginRules } from './origin-rules.ts';

/** The bytes are still coming. */
export class UploadUnfinishedError extends RelayError {
  override readonly name = 'UploadUnfinishedError';

  constructor(uploadId: string) {
    super('upload_unfinished', 409, `upload ${uploadId} is not finished yet`);
  }
}

export interface UploadDownloadParts {
  uploads: { look(uploadId: string): Promise<{ state: string }> };
  files: Pick<FileSource, 'findFile'>;
  downloads: Downloads;
  origins: OriginRules;
}

/** What GET of an upload's own URL answers: the content of the file that it has become. It takes no lock. */
export function downloadUpload({ uploads, files, downloads, origins }: UploadDownloadParts) {
  return async (uploadId: string, request: IncomingMessage, response: ServerResponse): Promise<void> => {
    // Every request of the tus endpoint has come through Express, and is one of its own.
    const [expressRequest, expressResponse] = [request as Request, response as Response];
    const { state } = await uploads.look(uploadId);
    if (state !== 'finished') throw new UploadUnfinishedError(uploadId);
    const file = await files.findFile(uploadId);
    if (file === null) throw new FileNotFoundError();
    setOriginHeaders(request, response, origins);
    await sendContent(expressRequest, expressResponse, file, downloads);
  };
}
