import type { RequestHandler } from 'express';

/** What the page has to know of the server before it can upload. */
export interface ClientConfig {
  /** Path of the tus endpoint. */
  tusEndpoint: string;
  maxUploadBytes: number;
}

/** `GET /api/config` → {@link ClientConfig}. The page is built once and served by servers of any configuration. */
export function clientConfigRoute(parts: { basePath: string; maxUploadBytes: number }): RequestHandler {
  const config: ClientConfig = { tusEndpoint: parts.basePath, maxUploadBytes: parts.maxUploadBytes };
  return (_request, response) => {
    response.setHeader('Cache-Control', 'no-store');
    response.json(config);
  };
}
