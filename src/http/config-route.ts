import type { RequestHandler } from 'express';

/** What the page has to know of the configuration. */
export interface PublicConfig {
  /** Path of the tus endpoint. */
  tusEndpoint: string;
  maxUploadBytes: number;
}

/** `GET /api/config` → {@link PublicConfig} */
export function tellConfig(config: PublicConfig): RequestHandler {
  return (_request, response) => {
    response.setHeader('Cache-Control', 'no-store');
    response.json(config);
  };
}
