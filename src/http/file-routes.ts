import { type Request, Router } from 'express';
import { FILE_SORTS, type FileSort } from '../catalog/file-cursor.ts';
import type { FilePage, FileTotal } from '../catalog/file-list.ts';
import { RelayError } from '../errors.ts';
import type { Downloads } from './downloads.ts';
import { hasCurrent, sendContent } from './file-content.ts';
import { type DescribedFile, describeFile, findVariant } from './file-json.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const DEFAULT_PAGE = 50;
const MAX_PAGE = 200;
/** Characters that a search may have: a name has at most 255 bytes. */
const MAX_QUERY = 200;
const YEAR_SECS = 31_536_000;

export interface FileRoutesParts {
  files: FileSource;
  downloads: Downloads;
  /** Deletes the file, its thumbnails and its upload. @returns false when there is nothing of the kind (any more) */
  deleteFile(fileId: string): Promise<boolean>;
  publicUrlBase: string | null;
}

export interface FileSource {
  /** @param page.cursor as an earlier page gave it @throws RelayError 400 when it is not one */
  listFiles(page: { limit: number } & ListWishes): Promise<ListedFiles>;
  /** @param fileId a uuid */
  findFile(fileId: string): Promise<DescribedFile | null>;
}

interface ListWishes extends Pick<FilePage, 'cursor'> {
  sort: FileSort;
  words: readonly string[];
}

interface ListedFiles {
  files: DescribedFile[];
  next: string | null;
  total: FileTotal | null;
}

export class FileNotFoundError extends RelayError {
  override readonly name = 'FileNotFoundError';

  constructor() {
    super('file_not_found', 404, 'there is no such file');
  }
}

export class ThumbnailNotFoundError extends RelayError {
  override readonly name = 'ThumbnailNotFoundError';

  constructor() {
    super('thumbnail_not_found', 404, 'the file has no thumbnail of this size');
  }
}

export class InvalidQueryError extends RelayError {
  override readonly name = 'InvalidQueryError';

  constructor(message: string) {
    super('invalid_query', 400, message);
  }
}

/**
 * - `GET /files?limit=&cursor=&sort=&q=` → `{files: FileJson[], next, total}`, 1 to 200 (50) a page; `next`: cursor of the
 *   next page, or null; `total`: `{count, atLeast}`, null on all pages but the first
 * - `GET /files/{id}` → FileJson
 * - `DELETE /files/{id}` → 204, from then on 404
 * - `GET /files/{id}/content` → the bytes, or one range of them
 * - `GET /files/{id}/thumb/{128|512}` → image/webp
 */
export function fileRoutes({ files, downloads, deleteFile, publicUrlBase }: FileRoutesParts): Router {
  const router = Router({ caseSensitive: true });

  router.get('/files', async (request, response) => {
    const page = await files.listFiles({
      limit: readLimit(request),
      cursor: readText(request, 'cursor'),
      sort: readSort(request),
      words: readWords(request),
    });
    response.setHeader('Cache-Control', 'no-store');
    const described = page.files.map((file) => describeFile(file, publicUrlBase));
    response.json({ files: described, next: page.next, total: page.total });
  });

  router.get('/files/:fileId', async (request, response) => {
    const file = await getFile(request);
    response.setHeader('Cache-Control', 'no-store');
    response.json(describeFile(file, publicUrlBase));
  });

  router.delete('/files/:fileId', async (request, response) => {
    // An upload that is not finished has this id too, and is not ours to end.
    const { fileId } = await getFile(request);
    if (!(await deleteFile(fileId))) throw new FileNotFoundError();
    response.status(204).end();
  });

  router.get('/files/:fileId/content', async (request, response) => {
    await sendContent(request, response, await getFile(request), downloads);
  });

  router.get('/files/:fileId/thumb/:size', async (request, response) => {
    const file = await getFile(request);
    const variant = findVariant(file, request.params.size);
    if (variant === null) throw new ThumbnailNotFoundError();
    const etag = `"${file.fileId}-${variant.size}"`;
    response.set({
      'Content-Type': 'image/webp',
      'Cache-Control': `private, max-age=${YEAR_SECS}, immutable`,
      ETag: etag,
      'X-Content-Type-Options': 'nosniff',
    });
    if (hasCurrent(request, etag)) response.status(304).end();
    else await downloads.send(request, response, variant.objectKey, null, () => new ThumbnailNotFoundError());
  });

  async function getFile(request: Request<{ fileId: string }>): Promise<DescribedFile> {
    const { fileId } = request.params;
    const file = UUID.test(fileId) ? await files.findFile(fileId) : null;
    if (file === null) throw new FileNotFoundError();
    return file;
  }

  return router;
}

function readLimit(request: Request): number {
  const value = readText(request, 'limit');
  if (value === null) return DEFAULT_PAGE;
  const limit = /^\d{1,3}$/.test(value) ? Number(value) : 0;
  if (limit >= 1 && limit <= MAX_PAGE) return limit;
  throw new InvalidQueryError(`limit: expected a whole number from 1 to ${MAX_PAGE}`);
}

function readSort(request: Request): FileSort {
  const value = readText(request, 'sort') ?? 'newest';
  const sort = FILE_SORTS.find((it) => it === value);
  if (sort === undefined) throw new InvalidQueryError(`sort: expected one of ${FILE_SORTS.join(', ')}`);
  return sort;
}

/** Composed (NFC), as the names of files are. */
function readWords(request: Request): string[] {
  const query = (readText(request, 'q') ?? '').toWellFormed().normalize('NFC');
  if (query.length > MAX_QUERY || query.includes('\0')) {
    throw new InvalidQueryError(`q: expected text of up to ${MAX_QUERY} characters`);
  }
  return query.split(/\s+/).filter((word) => word !== '');
}

function readText(request: Request, name: string): string | null {
  const value = request.query[name];
  if (value === undefined || value === '') return null;
  if (typeof value === 'string') return value;
  throw new InvalidQueryError(`${name}: expected once`);
}
