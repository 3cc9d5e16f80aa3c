import express, { type RequestHandler, Router } from 'express';

const YEAR_SECS = 31_536_000;

/**
 * The web page, as Vite built it.
 *
 * @param folder where index.html is
 * @param contentBase origin that files and thumbnails come from, when it is not ours (`PUBLIC_URL_BASE`)
 */
export function pageRoutes(folder: string, contentBase: string | null): Router {
  const router = Router({ caseSensitive: true });
  router.use(securePage(contentBase));
  router.use(
    express.static(folder, {
      redirect: false,
      setHeaders: (response, path) => {
        // Vite puts a hash of the content into the names of all that is under assets/.
        const immutable = /[/\\]assets[/\\]/.test(path);
        response.setHeader('Cache-Control', immutable ? `public, max-age=${YEAR_SECS}, immutable` : 'no-cache');
      },
    }),
  );
  return router;
}

/** What the page needs and no more: Uppy makes previews as blob: URLs and sets styles on elements. */
function securePage(contentBase: string | null): RequestHandler {
  const content = contentBase === null ? '' : ` ${new URL(contentBase).origin}`;
  const policy = [
    "default-src 'self'",
    `img-src 'self' blob: data:${content}`,
    `media-src 'self' blob:${content}`,
    "style-src 'self' 'unsafe-inline'",
    "font-src 'self' data:",
    "worker-src 'self' blob:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  return (_request, response, next) => {
    response.setHeader('Content-Security-Policy', policy);
    response.setHeader('X-Content-Type-Options', 'nosniff');
    response.setHeader('Referrer-Policy', 'no-referrer');
    response.setHeader('X-Frame-Options', 'DENY');
    next();
  };
}
